r"""How users ask for a provider: `name[:option=value,...]`, a comma inside a value as `\,`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.providers.registry import find_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.providers.facts import ProviderFacts

__all__ = ["ProviderSpec", "parse_spec"]

_COMMA: Final = re.compile(r"(?<!\\),")


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """A provider with the options it is asked for.

    Attributes:
        text: What the user wrote.
        facts: The provider.
        given: The options that the user wrote.
    """

    text: str
    facts: ProviderFacts
    given: Mapping[str, str]

    @property
    def name(self) -> str:
        """Its name in ONNX Runtime."""
        return self.facts.runtime_name

    def options(self, *, threads: int = 1) -> dict[str, str]:
        """Return the options for a session: the defaults, and what the user wants instead.

        Args:
            threads: Threads that it may use, for those with threads of their own; 0 leaves it
                to them.
        """
        own = self.facts.thread_option
        count = {own: str(threads)} if own and threads else {}
        return {**self.facts.defaults, **count, **self.given}


def parse_spec(text: str) -> ProviderSpec:
    r"""Parse what a user wrote.

    Raises:
        InvalidConfigError: It is of another form, or there is no such provider.

    Examples:
        >>> parse_spec("qnn:htp_arch=75,soc_model=57").given
        {'htp_arch': '75', 'soc_model': '57'}
        >>> parse_spec(r"openvino:device_type=AUTO:GPU\,CPU").given
        {'device_type': 'AUTO:GPU,CPU'}
    """
    name, colon, rest = text.partition(":")
    facts = find_provider(name)
    given: dict[str, str] = {}
    for part in _COMMA.split(rest) if colon else ():
        option, equals, value = part.partition("=")
        option = option.strip()
        if not option or not equals or option in given:
            problem = "twice" if option in given else "not as option=value"
            message = f"provider '{printable(text)}': '{printable(part)}' is given {problem}"
            raise InvalidConfigError(message, hint="write name:option=value,option=value")
        given[option] = value.strip().replace("\\,", ",")
    return ProviderSpec(text, facts, given)

"""The table of formats: each turns the report into the text of one file.

Whatever a format may do with text, names in a report do nothing in it: every format escapes for
its own syntax, on top of what `shown` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnxprune.gate.document import CheckReport

__all__ = ["FORMATS", "FileFormat", "file_format", "shown"]

Render: TypeAlias = "Callable[[CheckReport], str]"


@dataclass(frozen=True, slots=True)
class FileFormat:
    """A format.

    Attributes:
        name: As `--format` takes it.
        file_name: Its file in the output directory; empty for what only works on stdout.
        render: Returns the text.
    """

    name: str
    file_name: str
    render: Render


FORMATS: dict[str, FileFormat] = {}


def file_format(name: str, file_name: str) -> Callable[[Render], Render]:
    """Register a format.

    Args:
        name: As `--format` takes it.
        file_name: Its file in the output directory; empty for what only works on stdout.
    """

    def register(render: Render) -> Render:
        assert name not in FORMATS, name
        FORMATS[name] = FileFormat(name, file_name, render)
        return render

    return register


def shown(text: str) -> str:
    r"""Return text on one line, with what does not show as itself escaped.

    Names in it are escaped already, so their backslashes stay single.

    Examples:
        >>> shown("conv\\x1b\n::error::")
        'conv\\x1b\\x0a::error::'
    """
    return "".join(c if c == "\\" else printable(c) for c in text)

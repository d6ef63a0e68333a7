"""Tables of methods by name: criteria, allocations, recoveries. Plug-ins add to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from onnxprune import plugins
from onnxprune.errors import InvalidConfigError, PluginError, printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Method", "Registry", "summary_of"]


class Method(Protocol):
    """What a table holds."""

    @property
    def name(self) -> str:
        """How it is asked for."""
        ...

    @property
    def module(self) -> str:
        """Where it is defined."""
        ...


AnyMethod = TypeVar("AnyMethod", bound=Method)


class Registry(dict[str, AnyMethod]):
    """Methods of one kind by name.

    Args:
        kind: what one is called in messages.
        group: the group of entry points whose plug-ins add to it.
        usage: returns how a method is written where it is asked for.
    """

    def __init__(
        self, kind: str, group: str, usage: Callable[[AnyMethod], str] = lambda m: m.name
    ) -> None:
        super().__init__()
        self._kind, self._group, self._usage = kind, group, usage

    def register(self, method: AnyMethod) -> None:
        """Add a method.

        Raises:
            PluginError: its name is taken.
        """
        name = method.name
        if name in self:
            message = f"{self._kind} '{name}' is registered by {self[name].module} already"
            raise PluginError(message)
        self[name] = method
        plugins.note_registration(method.module, self._kind, name, lambda: self.pop(name))

    def find(self, name: str) -> AnyMethod:
        """Return a method by its name; plug-ins are loaded when it is none of ours.

        Raises:
            InvalidConfigError: there is none.
        """
        if name not in self:
            plugins.load_plugins(self._group)
        if name not in self:
            known = ", ".join(sorted(map(self._usage, self.values())))
            message = f"there is no {self._kind} '{printable(name)}'"
            raise InvalidConfigError(message, hint=f"choose one of {known}")
        return self[name]


def summary_of(function: object) -> str:
    """Return the first line of a docstring."""
    return (function.__doc__ or "").strip().split("\n", 1)[0]

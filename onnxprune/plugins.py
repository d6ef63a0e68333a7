"""Plug-ins: packages that add rules, methods or providers, found by entry points.

An entry point names a module; importing it registers what it has, with the decorators that this
package itself uses. Modules are imported when something is asked for that is not here, never
because of a name in a model. A plug-in that fails takes back what it registered and becomes a
warning.

The environment variable `ONNXPRUNE_PLUGINS` says which may be loaded: a list of distributions or
entry points with commas between, or `none`; all that are installed if it is not set or empty.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from importlib.metadata import EntryPoint

__all__ = [
    "GROUPS",
    "VARIABLE",
    "Plugin",
    "PluginWarning",
    "list_plugins",
    "load_plugins",
    "note_registration",
    "registering_module",
    "taking_part",
    "why_missing",
]

RULES = "onnxprune.rules"
CRITERIA = "onnxprune.criteria"
ALLOCATIONS = "onnxprune.allocations"
RECOVERIES = "onnxprune.recoveries"
PROVIDERS = "onnxprune.providers"
GROUPS = (RULES, CRITERIA, ALLOCATIONS, RECOVERIES, PROVIDERS)
"""Groups of entry points."""

VARIABLE = "ONNXPRUNE_PLUGINS"


class PluginWarning(UserWarning):
    """A plug-in cannot be used, or is not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed entry point.

    Attributes:
        name: its name.
        group: its group, one of `GROUPS`.
        distribution: the package that it belongs to.
        version: version of the package.
        module: the module that it names.
        allowed: whether it may be loaded.
        error: why it cannot be used, "" otherwise.
        registered: what its package registered: kind and name.
    """

    name: str
    group: str
    distribution: str
    version: str
    module: str
    allowed: bool
    error: str = ""
    registered: tuple[tuple[str, str], ...] = ()

    @property
    def package(self) -> str:
        """Name of the outermost package that holds the module."""
        return self.module.partition(".")[0]


@dataclass(frozen=True, slots=True)
class _Registration:
    module: str
    kind: str
    name: str
    undo: Callable[[], object]

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


_REGISTRATIONS: list[_Registration] = []
_ERRORS: dict[tuple[str, str, str], str] = {}
_LOADED: set[str] = set()


def registering_module() -> str:
    """Return the name of the module whose code called the caller of this function."""
    name: str = sys._getframe(2).f_globals.get("__name__", "")  # noqa: SLF001  # as namedtuple does
    return name


def note_registration(module: str, kind: str, name: str, undo: Callable[[], object]) -> None:
    """Remember what a plug-in registers, and how to take it back.

    Args:
        module: the module that registers.
        kind: `rule`, `criterion`, ...
        name: name of what is registered.
        undo: takes it back.
    """
    entry = _Registration(module, kind, name, undo)
    if entry.package != __package__:
        _REGISTRATIONS.append(entry)


def load_plugins(*groups: str) -> None:
    """Import the allowed plug-ins of some groups, each once in a process.

    Warns:
        PluginWarning: one cannot be imported, or what it registers is taken.
    """
    wanted = [g for g in groups if g not in _LOADED]
    _LOADED.update(wanted)  # first: what a plug-in asks for must not load it again
    for group in wanted:
        for point in _entry_points(group):
            if _allowed(point):
                _load(point)
    unknown = _unknown_names() if wanted else []
    if unknown:
        names = ", ".join(printable(n) for n in unknown)
        warnings.warn(f"{VARIABLE} names what is not installed: {names}", PluginWarning, 2)


def _load(point: EntryPoint) -> None:
    before = len(_REGISTRATIONS)
    try:
        point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever its code does
        for entry in reversed(_REGISTRATIONS[before:]):
            entry.undo()
        del _REGISTRATIONS[before:]
        reason = printable(f"{type(error).__name__}: {error}", limit=500)
        _ERRORS[_identity(point)] = reason
        message = (
            f"plug-in '{printable(point.name)}' of {_distribution(point)} {_version(point)} is "
            f"left out: {reason}"
        )
        warnings.warn(message, PluginWarning, 3)


def list_plugins() -> list[Plugin]:
    """Return the installed plug-ins, after `load_plugins` with what it found out."""
    found = []
    for group in GROUPS:
        for point in _entry_points(group):
            plugin = Plugin(
                point.name, group, _distribution(point), _version(point), point.module,
                _allowed(point), _ERRORS.get(_identity(point), ""),
            )  # fmt: skip
            registered = tuple(
                (r.kind, r.name)
                for r in _REGISTRATIONS
                if r.package == plugin.package and r.kind in _KINDS[group]
            )
            found.append(replace(plugin, registered=registered))
    return found


_KINDS = {
    RULES: ("rule", "update", "shapes", "macs"),
    CRITERIA: ("criterion",),
    ALLOCATIONS: ("allocation",),
    RECOVERIES: ("recovery",),
    PROVIDERS: ("provider",),
}


def taking_part(modules: Iterable[str]) -> dict[str, str]:
    """Return the version of every plug-in package, by distribution, that some modules are from."""
    packages = {m.partition(".")[0] for m in modules} - {__package__}
    if not packages:
        return {}
    plugins = sorted(list_plugins(), key=lambda p: p.distribution)
    return {p.distribution: p.version for p in plugins if p.package in packages}


def why_missing(distribution: str) -> str:
    """Return why rules of a distribution cannot be used here, "" when they can."""
    load_plugins(RULES)
    mine = [p for p in list_plugins() if _plain(p.distribution) == _plain(distribution)]
    mine = [p for p in mine if p.group == RULES]
    if not mine:
        return "it is not installed"
    if any(p.error for p in mine):
        return f"it cannot be loaded: {next(p.error for p in mine if p.error)}"
    if not all(p.allowed for p in mine):
        return f"{VARIABLE} does not allow it"
    return ""


@functools.cache
def _entry_points(group: str) -> tuple[EntryPoint, ...]:
    from importlib.metadata import entry_points  # noqa: PLC0415  # not for --help

    return tuple(sorted(entry_points(group=group), key=lambda p: (_distribution(p), p.name)))


def _distribution(point: EntryPoint) -> str:
    return printable(point.dist.name if point.dist else point.module)


def _version(point: EntryPoint) -> str:
    return printable(point.dist.version if point.dist else "")


def _identity(point: EntryPoint) -> tuple[str, str, str]:
    return (point.group, _distribution(point), point.name)


def _plain(name: str) -> str:
    """Return a name as package indexes compare them."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _names() -> set[str] | None:
    """Return the names that may be loaded, None for all."""
    text = os.environ.get(VARIABLE, "").strip()
    return {_plain(n) for n in text.split(",") if n.strip()} if text else None


def _allowed(point: EntryPoint) -> bool:
    names = _names()
    return names is None or bool(names & {_plain(point.name), _plain(_distribution(point))})


def _unknown_names() -> list[str]:
    there = {
        _plain(n) for g in GROUPS for p in _entry_points(g) for n in (p.name, _distribution(p))
    }
    return sorted((_names() or set()) - there - {"none"})

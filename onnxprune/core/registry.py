"""Tables of rules: how labels go through an operator, and what a cut changes in it.

Two decorators, both keyed by (domain, operator, since_version); the entry with the greatest version
not above the schema version in force is used.

* `@rule("Conv")` describes the operator on labels. It may only use its `LabelContext`.
* `@update("Conv")` returns the attributes and shape operands that a cut changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxprune.errors import DuplicateRuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Change, Cuts
    from onnxprune.core.graph import Node

    Rule = Callable[[LabelContext, Node], None]
    Update = Callable[[Cuts, Node], Change]


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration.

    Attributes:
        domain: operator domain, "" for ai.onnx.
        op: operator type.
        since: first schema version that the function serves.
        function: the rule or update function.
        module: the module it comes from.
        summary: first line of its docstring, for the operator table.
    """

    domain: str
    op: str
    since: int
    function: Callable[..., Any]
    module: str
    summary: str


class Table:
    """Registrations of one kind, looked up by operator and version."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str], list[Entry]] = {}

    def register(self, op: str, domain: str, since: int, function: Callable[..., Any]) -> None:
        """Add a function.

        Raises:
            DuplicateRuleError: when the operator has one for the same version already.
        """
        entries = self._entries.setdefault((domain, op), [])
        for entry in entries:
            if entry.since == since:
                message = (
                    f"{domain or 'ai.onnx'}::{op} since {since} is registered by "
                    f"{entry.module} and again by {function.__module__}"
                )
                raise DuplicateRuleError(message)
        summary = (function.__doc__ or "").strip().split("\n", 1)[0]
        entries.append(Entry(domain, op, since, function, function.__module__, summary))
        entries.sort(key=lambda e: e.since)

    def lookup(self, op: str, domain: str, since: int) -> Callable[..., Any] | None:
        """Return the function in force at a schema version, or None."""
        found = None
        for entry in self._entries.get((domain, op), ()):
            if entry.since <= max(since, 1):
                found = entry.function
        return found

    def __iter__(self) -> Iterator[Entry]:
        for key in sorted(self._entries):
            yield from self._entries[key]


RULES = Table()
UPDATES = Table()


def rule(*ops: str, domain: str = "", since: int = 1) -> Callable[[Rule], Rule]:
    """Register a label rule for one or more operators."""

    def decorate(function: Rule) -> Rule:
        for op in ops:
            RULES.register(op, domain, since, function)
        return function

    return decorate


def update(*ops: str, domain: str = "", since: int = 1) -> Callable[[Update], Update]:
    """Register what a cut changes in one or more operators."""

    def decorate(function: Update) -> Update:
        for op in ops:
            UPDATES.register(op, domain, since, function)
        return function

    return decorate

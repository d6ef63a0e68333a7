"""Tables of rules: how labels go through an operator, and what a cut changes in it.

Four decorators, all keyed by (domain, operator, since_version); the entry with the greatest version
not above the schema version in force is used.

* `@rule("Conv")` describes the operator on labels. It may only use its `LabelContext`.
* `@update("Conv")` returns the attributes and shape operands that a cut changes.
* `@shapes("FusedConv", domain="com.microsoft")` infers the outputs of an operator of which onnx has
  no schema.
* `@macs("Conv")` counts multiply-accumulates.

Where there is no rule, and no schema to infer shapes with, plug-ins are asked for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxprune import plugins
from onnxprune.errors import DuplicateRuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from onnxprune.core.context import LabelContext
    from onnxprune.core.cuts import Change, Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.macs import Rank, Term
    from onnxprune.core.shapes import Inferred, Shapes

    Rule = Callable[[LabelContext, Node], None]
    Update = Callable[[Cuts, Node], Change]
    Infer = Callable[[Shapes, Node], Inferred]
    Count = Callable[[Node, Rank], list[Term]]


@dataclass(frozen=True, slots=True)
class Entry:
    """One registration.

    Attributes:
        domain: operator domain, "" for ai.onnx.
        op: operator type.
        since: first schema version that the function serves.
        function: the rule or update function.
        module: the module that registered it.
        summary: first line of its docstring, for the operator table.
        grouped_weight: position of a weight whose axis 1 has the input channels of one of `group`
            groups.
        blind: whether the rule does without shapes.
    """

    domain: str
    op: str
    since: int
    function: Callable[..., Any]
    module: str
    summary: str
    grouped_weight: int | None = None
    blind: bool = False


class Table:
    """Registrations of one kind, looked up by operator and version.

    Args:
        kind: what it holds, as plug-ins are listed.
        extended: whether plug-ins are loaded when something is not in it.
    """

    def __init__(self, kind: str, *, extended: bool = False) -> None:
        self._kind = kind
        self._extended = extended
        self._entries: dict[tuple[str, str], list[Entry]] = {}

    def register(
        self,
        op: str,
        domain: str,
        since: int,
        function: Callable[..., Any],
        *,
        module: str = "",
        grouped_weight: int | None = None,
        blind: bool = False,
    ) -> None:
        """Add a function.

        Args:
            op: operator type.
            domain: its domain, "" for ai.onnx.
            since: first schema version that the function serves.
            function: the function.
            module: the module that registers it, by default the function's own.
            grouped_weight: see `Entry`.
            blind: see `Entry`.

        Raises:
            DuplicateRuleError: when the operator has one for the same version already.
        """
        module = module or function.__module__
        entries = self._entries.setdefault((domain, op), [])
        for entry in entries:
            if entry.since == since:
                message = (
                    f"{domain or 'ai.onnx'}::{op} since {since} is registered by "
                    f"{entry.module} and again by {module}"
                )
                raise DuplicateRuleError(message)
        summary = (function.__doc__ or "").strip().split("\n", 1)[0]
        new = Entry(domain, op, since, function, module, summary, grouped_weight, blind)
        entries.append(new)
        entries.sort(key=lambda e: e.since)
        name = f"{domain or 'ai.onnx'}::{op}"
        plugins.note_registration(module, self._kind, name, lambda: entries.remove(new))

    def find(self, op: str, domain: str, since: int) -> Entry | None:
        """Return the entry in force at a schema version, or None."""
        found = self._find(op, domain, since)
        if found is None and self._extended:
            plugins.load_plugins(plugins.RULES)
            found = self._find(op, domain, since)
        return found

    def _find(self, op: str, domain: str, since: int) -> Entry | None:
        found = None
        for entry in self._entries.get((domain, op), ()):
            if entry.since <= max(since, 1):
                found = entry
        return found

    def lookup(self, op: str, domain: str, since: int) -> Callable[..., Any] | None:
        """Return the function in force at a schema version, or None."""
        entry = self.find(op, domain, since)
        return None if entry is None else entry.function

    def __iter__(self) -> Iterator[Entry]:
        for key in sorted(self._entries):
            yield from self._entries[key]


RULES = Table("rule", extended=True)
UPDATES = Table("update")
SHAPES = Table("shapes", extended=True)
MACS = Table("macs")


def rule(
    *ops: str,
    domain: str = "",
    since: int = 1,
    grouped_weight: int | None = None,
    blind: bool = False,
) -> Callable[[Rule], Rule]:
    """Register a label rule for one or more operators.

    Args:
        *ops: operator types.
        domain: their domain, "" for ai.onnx.
        since: first schema version that it serves.
        grouped_weight: position of a weight [outputs, inputs of one group, ...] of an operator with
            an attribute `group`.
        blind: whether the rule does without shapes, as one that passes nothing does; others are not
            called where a shape is unknown.
    """
    module = plugins.registering_module()

    def decorate(function: Rule) -> Rule:
        for op in ops:
            RULES.register(
                op, domain, since, function, module=module, grouped_weight=grouped_weight,
                blind=blind,
            )  # fmt: skip
        return function

    return decorate


def update(*ops: str, domain: str = "", since: int = 1) -> Callable[[Update], Update]:
    """Register what a cut changes in one or more operators."""
    return _registering(UPDATES, ops, domain, since, plugins.registering_module())


def shapes(*ops: str, domain: str, since: int = 1) -> Callable[[Infer], Infer]:
    """Register how element types and shapes of outputs follow from inputs, None when unknown.

    Errors that shapes which do not fit bring about (`ILL_FORMED`) make the outputs unknown.
    """
    return _registering(SHAPES, ops, domain, since, plugins.registering_module())


def macs(*ops: str, domain: str = "", since: int = 1) -> Callable[[Count], Count]:
    """Register what counts the multiply-accumulates of one or more operators."""
    return _registering(MACS, ops, domain, since, plugins.registering_module())


def _registering(
    table: Table, ops: Sequence[str], domain: str, since: int, module: str
) -> Callable[[Any], Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for op in ops:
            table.register(op, domain, since, function, module=module)
        return function

    return decorate

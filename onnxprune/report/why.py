"""Explain one value: for each of its axes, which group runs along it, or why nothing can leave."""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.report.models import AxisEntry, HeldIndices, WhyEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.analysis import Analysis
    from onnxprune.core.groups import Group
    from onnxprune.core.labelling import FrozenReason
    from onnxprune.core.labels import Factor

_SUGGESTIONS = 5


def explain(analysis: Analysis, name: str) -> WhyEntry:
    """Explain a value or an initializer.

    Args:
        analysis: the model.
        name: its name; for one inside a body of a control-flow node, the plain name will do where
            it is the only one.

    Raises:
        InvalidConfigError: there is no such value, or there are several.
    """
    return _Explainer(analysis).explain(_find(analysis, name))


def _find(analysis: Analysis, name: str) -> str:
    known: dict[str, list[str]] = {}
    for graph in analysis.deps.graph.walk():
        keys = dict.fromkeys((*graph.parameters, *graph.inputs))
        for node in graph.nodes:
            keys.update(dict.fromkeys(k for k in node.outputs if k))
        for key in keys:
            known.setdefault(key.removeprefix(graph.scope), []).append(key)
            if graph.scope:
                known.setdefault(key, []).append(key)
    found = list(dict.fromkeys(known.get(name, ())))
    if len(found) == 1 or name in found:
        return name if name in found else found[0]
    if found:
        message = f"there are {len(found)} values '{printable(name)}'"
        hint = f"choose one of {', '.join(map(printable, found[:_SUGGESTIONS]))}"
        raise InvalidConfigError(message, hint=hint)
    message = f"there is no value or initializer '{printable(name)}'"
    raise InvalidConfigError(message, hint=_close(name, list(known)))


def _close(name: str, known: list[str]) -> str | None:
    inside = [k for k in known if name and name.lower() in k.lower()]
    close = inside or difflib.get_close_matches(name, known, _SUGGESTIONS, 0.5)
    if not close:
        return None
    shown = sorted(close, key=len)[:_SUGGESTIONS]
    return f"close to it: {', '.join(map(printable, shown))}"


class _Explainer:
    def __init__(self, analysis: Analysis) -> None:
        self._deps = analysis.deps
        self._groups: dict[int, Group] = {int(a): g for g in self._deps.groups for a in g.atoms}

    def explain(self, key: str) -> WhyEntry:
        ctx = self._deps.ctx
        shape = ctx.shape(key)
        parameter = ctx.parameters.get(key)
        if shape is None and parameter is not None:
            shape = parameter.shape
        factors = ctx.factors_of.get(key, ())
        kind = self._kind(key)
        if shape is None:
            return WhyEntry(value=key, kind=kind, axes=[], note="its shape depends on data")
        note = self._note(key)
        axes = [
            self._axis(
                a, size, [f for f in factors if f.axes[-1] == a], self._bare(a, factors, note)
            )
            for a, size in enumerate(shape)
        ]
        return WhyEntry(value=key, kind=kind, axes=axes, note=note)

    def _bare(self, axis: int, factors: Sequence[Factor], note: str) -> str:
        """Say why no channels run along an axis."""
        for factor in factors:
            if axis in factor.axes:
                return f"it holds the rows among which axis {factor.axes[-1]} is divided"
        return note or "no channels run along it: batch, time or space"

    def _kind(self, key: str) -> str:
        graph = self._deps.graph
        if key in self._deps.ctx.parameters:
            return "constant" if self._deps.ctx.parameters[key].constant else "initializer"
        if key in graph.inputs:
            return "graph input"
        return "graph output" if key in graph.outputs else "value"

    def _note(self, key: str) -> str:
        """Say what holds for all axes, if something does."""
        ctx = self._deps.ctx
        if ctx.factors_of.get(key):
            return ""
        if key in self._deps.graph.inputs:
            return "a graph input keeps its shape"
        parameter = ctx.parameters.get(key)
        if parameter is not None and parameter.overridable:
            return "it is a graph input as well, so that callers may replace it"
        if parameter is not None and key not in ctx.factors_of:
            return "no operator that was analysed reads it"
        for node in self._deps.graph.all_nodes():
            if key in node.outputs:
                reasons = [r for r in self._deps.frozen.values() if r.node == node.where]
                why = f": {reasons[0].reason}" if reasons else ""
                return f"no channels come out of {node.where}{why}"
        return "it carries no channels"

    def _axis(self, axis: int, size: int, factors: list[Factor], bare: str) -> AxisEntry:
        counts: Counter[str] = Counter()
        approximate: dict[str, str] = {}
        held: Counter[FrozenReason] = Counter()
        unexplained = 0
        for factor in factors:
            # Rows of one factor belong to the same groups, so the first one tells.
            first = factor.labels.reshape(-1, factor.labels.shape[-1])[0]
            for root in self._deps.roots[first].tolist():
                group = self._groups.get(root)
                reason = self._deps.frozen.get(root)
                if group is not None:
                    counts[group.id] += 1
                    if not group.exact:
                        approximate[group.id] = group.reason
                elif reason is not None:
                    held[reason] += 1
                else:
                    unexplained += 1
        note = ""
        if size <= 1:
            note = "a single index has to stay"
        elif not factors:
            note = bare
        elif unexplained:
            note = f"{unexplained} indices belong to nothing that could leave"
        return AxisEntry(
            axis=axis,
            size=size,
            groups=dict(counts),
            approximate=approximate,
            frozen=[
                HeldIndices(count=n, reason=r.reason, node=r.node, op=r.op)
                for r, n in held.most_common()
            ],
            note=note,
        )

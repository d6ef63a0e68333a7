"""Compare two plans: what each removes, and how it was asked for."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from onnxprune.diff.document import Change
from onnxprune.errors import printable

if TYPE_CHECKING:
    from onnxprune.core.plan import PlanGroup, PrunePlan

Found = tuple[list[str], list[Change]]

_PARTS = {
    "branches": "other residual branches leave",
    "forks": "consumers of other values drop channels of their own",
    "layout": "channels stand in another order, or others stay unread",
    "joined": "copies are joined behind other concatenations",
    "apart": "other operators are written once for every consumer",
}
"""What it means that a part of two plans is not the same."""


def compare_plans(first: PrunePlan, second: PrunePlan) -> Found:
    """Return the differences in words, and one by one."""
    changes: list[Change] = []
    summary: list[str] = []
    if first.model_sha256 != second.model_sha256:
        changes.append(_change("model", "", first.model_sha256, second.model_sha256))
        summary.append("the plans are for different models")
    settings = _settings(first.settings, second.settings)
    if settings:
        summary.append(f"made with other settings: {', '.join(map(_in_words, settings))}")
    groups = _groups(first, second)
    summary += _groups_in_words(first, second, groups)
    parts = _parts(first, second)
    summary += [f"{_PARTS[c.what]} ({c.what})" for c in parts]
    facts = [
        _change("predicted", name, _percent(before), _percent(after))
        for name in sorted(first.predicted.keys() | second.predicted.keys())
        if (before := first.predicted.get(name)) != (after := second.predicted.get(name))
    ]
    summary += [f"{c.name} that remain: {c.before} before, {c.after} after" for c in facts]
    others = [
        _change(what, "", str(before), str(after))
        for what, before, after in (
            ("coupling", first.coupling, second.coupling),
            ("tool", first.tool, second.tool),
            ("plugins", first.plugins, second.plugins),
            ("repaired weights", _repairs(first), _repairs(second)),
        )
        if before != after
    ]
    summary += [f"{c.what}: {c.before} before, {c.after} after" for c in others]
    return summary, [*changes, *settings, *groups, *parts, *facts, *others]


def _settings(first: dict[str, Any], second: dict[str, Any]) -> list[Change]:
    return [
        _change("setting", name, _text(first.get(name)), _text(second.get(name)))
        for name in sorted(first.keys() | second.keys())
        if first.get(name) != second.get(name)
    ]


def _groups(first: PrunePlan, second: PrunePlan) -> list[Change]:
    before, after = ({g.id: g for g in p.groups} for p in (first, second))
    names = [*before, *(n for n in after if n not in before)]
    return [
        _change("group", name, _removed(before.get(name)), _removed(after.get(name)))
        for name in names
        if _key(before.get(name)) != _key(after.get(name))
    ]


def _groups_in_words(first: PrunePlan, second: PrunePlan, groups: list[Change]) -> list[str]:
    if not groups:
        return []
    totals = [sum(len(g.removed) for g in p.groups) for p in (first, second)]
    only = [sum(c.after is None for c in groups), sum(c.before is None for c in groups)]
    text = f"{len(groups)} groups lose other channels; {totals[0]} channels leave before, "
    text += f"{totals[1]} after"
    for count, which in zip(only, ("before", "after"), strict=True):
        if count:
            text += f"; {count} groups are cut only {which}"
    return [text]


def _key(group: PlanGroup | None) -> object:
    return None if group is None else (group.size, group.removed, group.slices)


def _removed(group: PlanGroup | None) -> str | None:
    if group is None:
        return None
    return f"{len(group.removed)} of {group.size}: {', '.join(map(str, group.removed))}"


def _parts(first: PrunePlan, second: PrunePlan) -> list[Change]:
    before, after = (p.model_dump(mode="json", include={*_PARTS}) for p in (first, second))
    return [
        _change(what, "", _text(before[what]), _text(after[what]))
        for what in _PARTS
        if before[what] != after[what]
    ]


def _repairs(plan: PrunePlan) -> str:
    if plan.repair is None:
        return "none"
    digests = sorted([*plan.repair.weights.values(), *plan.repair.biases.values()])
    return f"{len(digests)} ({hashlib.sha256(''.join(digests).encode()).hexdigest()[:12]})"


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.1%}".replace("%", " %")


def _text(value: Any) -> str | None:  # noqa: ANN401  # JSON
    return None if value is None else json.dumps(value, sort_keys=True)


def _in_words(change: Change) -> str:
    return f"{printable(change.name)} {change.before or 'unset'} -> {change.after or 'unset'}"


def _change(what: str, name: str, before: str | None, after: str | None) -> Change:
    return Change(what=what, name=name, before=before, after=after)

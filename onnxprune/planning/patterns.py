"""Which groups the patterns of `--exclude` and `--only` speak of."""

from __future__ import annotations

import fnmatch
from typing import TYPE_CHECKING

from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.analysis import Analysis


def select(analysis: Analysis, *, exclude: Sequence[str], only: Sequence[str]) -> set[str]:
    """Return the ids of the groups that patterns leave.

    A pattern is a shell wildcard for the id of a group, for a parameter of it, or for a node that
    reads one.

    Args:
        analysis: the model.
        exclude: patterns of groups to leave out.
        only: patterns of groups to take, none for all.

    Raises:
        InvalidConfigError: a pattern matches nothing, which must be a mistake.
    """
    if not exclude and not only:
        return {group.id for group in analysis.deps.groups}
    names = names_of_groups(analysis)
    out = set[str]().union(*(_matching(names, "exclude", p) for p in exclude))
    kept = set[str]().union(*(_matching(names, "only", p) for p in only)) if only else set(names)
    return kept - out


def names_of_groups(analysis: Analysis) -> dict[str, set[str]]:
    """Return the names by which users may speak of each group: its id, parameters and nodes."""
    users: dict[str, set[str]] = {}
    for node in analysis.deps.graph.all_nodes():
        for key in node.inputs:
            users.setdefault(key, set()).add(node.name)
    found: dict[str, set[str]] = {}
    for group in analysis.deps.groups:
        names = found[group.id] = {group.id}
        for part in group.slices:
            names.add(analysis.copies.get(part.parameter, part.parameter))
            names |= users.get(part.parameter, set())
    return found


def _matching(names: dict[str, set[str]], option: str, pattern: str) -> set[str]:
    found = {i for i, known in names.items() if any(fnmatch.fnmatchcase(n, pattern) for n in known)}
    if not found:
        message = (
            f"{option} '{printable(pattern)}' matches no group, and no parameter or node of one"
        )
        hint = "`onnxprune analyze MODEL --json -` lists groups with their parameters and nodes"
        raise InvalidConfigError(message, hint=hint)
    return found

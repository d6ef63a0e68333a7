"""Scores from a file: what another tool worked out, with gradients or labels for instance.

The file is JSON of the format `onnxprune.scores/1`; `onnxprune schema scores` prints its schema.
Scores stand for whole groups, atom by atom, or for the indices of an axis of an initializer; the
latter are added up over everything that leaves together. They are compared between groups as they
are, so they should be in one unit.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

from onnxprune.criteria.registry import criterion
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.documents import read_document

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext


class ScoreEntry(BaseModel):
    """Scores of the atoms of a group, or of the indices of an axis of an initializer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    group: str | None = None
    initializer: str | None = None
    axis: int | None = None
    values: list[FiniteFloat]

    @model_validator(mode="after")
    def _one_place(self) -> ScoreEntry:
        named = self.initializer is not None and self.axis is not None and self.axis >= 0
        alone = self.initializer is None and self.axis is None
        if not (alone if self.group is not None else named):
            message = "an entry names a `group`, or an `initializer` and its `axis`"
            raise ValueError(message)
        return self


class ScoreFile(BaseModel):
    """What `--criterion file:PATH` reads; low scores leave first."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["onnxprune.scores/1"] = "onnxprune.scores/1"
    model_sha256: str | None = None
    source: str = ""
    scores: list[ScoreEntry]


@criterion("file", argument="scores.json")
def file(context: ScoreContext, group: Group) -> Scores:
    """Scores from a JSON file of another tool, see `onnxprune schema scores`."""
    name = f"'{printable(context.argument)}'"
    mine = [e for e in _entries(context) if e.group == group.id]
    if mine:
        if len(mine) > 1 or len(mine[0].values) != group.size:
            seen = f"{len(mine)} entries" if len(mine) > 1 else f"{len(mine[0].values)} values"
            message = f"{name} has {seen} for group {group.id}; wanted is one of {group.size}"
            raise InvalidConfigError(message, hint="`onnxprune analyze --json -` lists groups")
        return np.array(mine[0].values)
    parts = [
        (part.roots, np.array(entry.values))
        for entry in _entries(context)
        for part in group.slices
        if (part.parameter, part.axes) == (entry.initializer, (entry.axis,))
    ]
    missing = context.scatter(group, [(roots, np.ones(len(roots))) for roots, _ in parts]) == 0
    if missing.any():
        places = [f"{s.parameter} axis {s.axes[-1]}" for s in group.slices[:3]]
        message = (
            f"{name} has no score for {missing.sum()} of {group.size} channels of group {group.id} "
            f"({printable(', '.join(places))})"
        )
        raise InvalidConfigError(message, hint=f"score it, or leave it out: --exclude {group.id}")
    return context.scatter(group, parts)


def _entries(context: ScoreContext) -> list[ScoreEntry]:
    key = ("scores", context.argument)
    if key not in context.cache:
        found = read_scores(Path(context.argument))
        _check(context, found)
        context.cache[key] = found.scores
    entries: list[ScoreEntry] = context.cache[key]
    return entries


def read_scores(path: Path) -> ScoreFile:
    """Read a file of scores.

    Raises:
        InvalidConfigError: it is missing, or holds no scores.
    """
    return read_document(
        path, ScoreFile.model_validate_json, what="no file of scores",
        hint="`onnxprune schema scores` prints the schema",
    )  # fmt: skip


def _check(context: ScoreContext, found: ScoreFile) -> None:
    """Refuse scores of another model."""
    name = f"'{printable(context.argument)}'"
    digest = context.model_sha256()
    if found.model_sha256 not in (None, digest):
        seen = printable(found.model_sha256)[:64]
        message = f"{name} was made for a model with SHA-256 {seen}, this one has {digest}"
        raise InvalidConfigError(message, hint="make the scores for this model")
    groups = {g.id for g in context.deps.groups}
    for entry in found.scores:
        if entry.group is not None:
            if entry.group not in groups:
                message = f"{name} scores group '{printable(entry.group)}', which there is not"
                raise InvalidConfigError(message, hint="`onnxprune analyze --json -` lists groups")
            continue
        assert entry.initializer is not None
        assert entry.axis is not None
        parameter = context.deps.ctx.parameters.get(entry.initializer)
        shape = () if parameter is None else parameter.shape
        if entry.axis >= len(shape) or shape[entry.axis] != len(entry.values):
            what = "which there is not" if parameter is None else f"of shape {list(shape)}"
            message = (
                f"{name} has {len(entry.values)} values for axis {entry.axis} of "
                f"'{printable(entry.initializer)}', {what}"
            )
            raise InvalidConfigError(message, hint="one value for every index of the axis")

"""An analysis as a document."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.report.frozen import frozen_entries
from onnxprune.report.models import AnalysisReport, GroupEntry, SliceEntry
from onnxprune.report.shares import dependents, totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from onnxprune.analysis import Analysis
    from onnxprune.core.dependencies import Group, ParameterSlice
    from onnxprune.core.labels import LabelArray
    from onnxprune.report.models import WhyEntry


def report_analysis(
    analysis: Analysis,
    *,
    why: WhyEntry | None = None,
    seconds: Mapping[str, float] | None = None,
) -> AnalysisReport:
    """Describe an analysis.

    Args:
        analysis: the analysis.
        why: the explanation of one value, to go with it.
        seconds: time by stage.
    """
    return AnalysisReport(
        model=str(analysis.model.path),
        sha256=analysis.model.sha256,
        bytes=analysis.model.size_bytes,
        nodes=count_nodes(analysis.proto.graph),
        dims=list(analysis.dims),
        groups=describe_groups(analysis),
        frozen=frozen_entries(analysis),
        totals=totals(analysis),
        why=why,
        seconds=dict(seconds or {}),
    )


def count_nodes(graph: onnx.GraphProto) -> int:
    """Count the nodes of a graph and of all bodies inside it."""
    bodies = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return len(graph.node) + sum(count_nodes(body) for body in bodies)


def describe_groups(analysis: Analysis) -> list[GroupEntry]:
    """Describe every group."""
    readers: dict[str, list[str]] = {}
    for node in analysis.deps.graph.all_nodes():
        for key in node.inputs:
            readers.setdefault(key, []).append(f"{node.scope}{node.name}")
    counts = dependents(analysis)
    return [_describe(analysis, g, readers, counts[g.id]) for g in analysis.deps.groups]


def _describe(
    analysis: Analysis, group: Group, readers: Mapping[str, list[str]], counts: tuple[int, int]
) -> GroupEntry:
    atom_of = np.full(len(analysis.deps.roots), -1)
    atom_of[group.atoms] = np.arange(group.size)
    nodes = dict.fromkeys(n for part in group.slices for n in readers.get(part.parameter, ()))
    return GroupEntry(
        id=group.id,
        kind="rows" if group.level else "channels",
        size=group.size,
        exact=group.exact,
        reason=group.reason,
        balance=[_table(t, atom_of) for t in group.balances] or None,
        slices=_slices(analysis, group, atom_of),
        nodes=list(nodes),
        params=counts[0],
        macs=counts[1],
    )


def _table(table: LabelArray, atom_of: LabelArray) -> list[list[int | None]]:
    return [[atom if atom >= 0 else None for atom in row] for row in atom_of[table].tolist()]


def _slices(analysis: Analysis, group: Group, atom_of: LabelArray) -> list[SliceEntry]:
    """List every slice once: copies of a shared vector go by the name of their original."""
    found: dict[str, SliceEntry] = {}
    for part in group.slices:
        if part.parameter not in analysis.deps.ctx.parameters:
            continue  # a constant that a node makes
        name = analysis.copies.get(part.parameter, part.parameter)
        entry = _slice(part, name, atom_of, group.size)
        found.setdefault(entry.model_dump_json(), entry)
    return list(found.values())


def _slice(part: ParameterSlice, name: str, atom_of: LabelArray, size: int) -> SliceEntry:
    indices: list[list[int]] = [[] for _ in range(size)]
    if len(part.axes) == 1:
        for index, atom in enumerate(atom_of[part.roots].tolist()):
            if atom >= 0:
                indices[atom].append(index)
        return SliceEntry(
            initializer=name, axis=part.axes[0], consumed=part.consumed, indices=indices
        )
    blocks: list[list[int]] = [[] for _ in range(size)]
    changes = np.any(part.roots[1:] != part.roots[:-1], axis=1)
    first_rows = [0, *(np.flatnonzero(changes) + 1).tolist()]
    for block, row in enumerate(first_rows):
        for index, atom in enumerate(atom_of[part.roots[row]].tolist()):
            if atom >= 0:
                indices[atom].append(index)
                blocks[atom].append(block)
    return SliceEntry(
        initializer=name, axis=part.axes[1], block_axis=part.axes[0], consumed=part.consumed,
        indices=indices, blocks=blocks,
    )  # fmt: skip

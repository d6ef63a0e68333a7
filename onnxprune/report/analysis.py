"""An analysis as a document."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.graph import PER_INDEX_TYPES, SELECT_AXIS, constant_tensor
from onnxprune.report.frozen import frozen_entries
from onnxprune.report.models import AnalysisReport, BranchEntry, GroupEntry, SliceEntry
from onnxprune.report.shares import dependents, totals

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from onnxprune.analysis import Analysis
    from onnxprune.core.groups import Group, ParameterSlice
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
        branches=describe_branches(analysis),
        why=why,
        seconds=dict(seconds or {}),
    )


def count_nodes(graph: onnx.GraphProto) -> int:
    """Count the nodes of a graph and of all bodies inside it, marks of the analysis excepted."""
    bodies = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    own = sum(all(p.key != SELECT_AXIS for p in node.metadata_props) for node in graph.node)
    return own + sum(count_nodes(body) for body in bodies)


def count_params(graph: onnx.GraphProto) -> int:
    """Count the elements of all weights of a graph and of all bodies inside it."""
    tensors = list(graph.initializer)
    total = 0
    for node in graph.node:
        if node.op_type == "Constant":
            tensor = constant_tensor(node)
            tensors += [] if tensor is None else [tensor]
        total += sum(count_params(a.g) for a in node.attribute if a.HasField("g"))
    return total + sum(math.prod(t.dims) for t in tensors if t.data_type in PER_INDEX_TYPES)


def describe_groups(analysis: Analysis) -> list[GroupEntry]:
    """Describe every group."""
    describer = _Describer(analysis)
    counts = dependents(analysis)
    return [describer.group(g, counts[g.id]) for g in analysis.deps.groups]


def describe_branches(analysis: Analysis) -> list[BranchEntry]:
    """Describe every residual branch that can leave as a whole."""
    all_ = analysis.cost()
    found = []
    for branch in analysis.branches:
        left = analysis.cost(dead=branch.dead)
        found.append(
            BranchEntry(
                id=branch.id,
                node=branch.node.name,
                value=branch.value,
                nodes=list(branch.nodes),
                params=all_.params - left.params,
                macs=all_.macs - left.macs,
            )
        )
    return found


class _Describer:
    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis
        self._readers: dict[str, list[str]] = {}
        for node in analysis.deps.graph.all_nodes():
            for key in node.inputs:
                self._readers.setdefault(key, []).append(f"{node.scope}{node.name}")

    def group(self, group: Group, counts: tuple[int, int]) -> GroupEntry:
        atom_of = np.full(len(self._analysis.deps.roots), -1)
        atom_of[group.atoms] = np.arange(group.size)
        nodes = (n for part in group.slices for n in self._readers.get(part.parameter, ()))
        return GroupEntry(
            id=group.id,
            kind="rows" if group.level else "channels",
            size=group.size,
            exact=group.exact,
            reason=group.reason,
            balance=[_table(t, atom_of) for t in group.balances] or None,
            slices=self._slices(group, atom_of),
            nodes=list(dict.fromkeys(nodes)),
            params=counts[0],
            macs=counts[1],
        )

    def _slices(self, group: Group, atom_of: LabelArray) -> list[SliceEntry]:
        """List every slice once: copies of a shared vector go by the name of their original."""
        found: dict[str, SliceEntry] = {}
        for part in group.slices:
            if part.parameter not in self._analysis.deps.ctx.parameters:
                continue  # a constant that a node makes
            entry = self._slice(part, atom_of, group.size)
            found.setdefault(entry.model_dump_json(exclude={"node"}), entry)
        return list(found.values())

    def _slice(self, part: ParameterSlice, atom_of: LabelArray, size: int) -> SliceEntry:
        blocks: list[list[int]] | None = None
        indices: list[list[int]] = [[] for _ in range(size)]
        if len(part.axes) == 1:
            for index, atom in enumerate(atom_of[part.roots].tolist()):
                if atom >= 0:
                    indices[atom].append(index)
        else:
            blocks = [[] for _ in range(size)]
            for block, row in enumerate(_different_rows(part.roots)):
                for index, atom in enumerate(atom_of[row].tolist()):
                    if atom >= 0:
                        indices[atom].append(index)
                        blocks[atom].append(block)
        return SliceEntry(
            initializer=self._analysis.copies.get(part.parameter, part.parameter),
            node=next(iter(self._readers.get(part.parameter, ())), ""),
            axis=part.axes[-1],
            block_axis=None if blocks is None else part.axes[0],
            consumed=part.consumed,
            indices=indices,
            blocks=blocks,
        )


def _table(table: LabelArray, atom_of: LabelArray) -> list[list[int | None]]:
    return [[atom if atom >= 0 else None for atom in row] for row in atom_of[table].tolist()]


def _different_rows(table: LabelArray) -> LabelArray:
    """Return the rows of a table that differ from the one before: one per block."""
    changes = np.any(table[1:] != table[:-1], axis=1)
    rows: LabelArray = table[np.concatenate([[True], changes])]
    return rows

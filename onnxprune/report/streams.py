"""Streams and what their consumers read of them, before and after channels change places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import Field

from onnxprune.core.cuts import Cuts
from onnxprune.core.symmetry import find_streams
from onnxprune.errors import printable
from onnxprune.planning.edges import find_edges
from onnxprune.report.document import Document
from onnxprune.report.tables import count
from onnxprune.rewrite.selects import element_bytes, wanted_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.layout import Layout
    from onnxprune.planning.edges import Edge

    Flags = NDArray[np.bool_]

How = Literal["everything", "zeros", "slice", "gather", "own"]

_CELLS = 64
_SAID: dict[str, str] = {
    "everything": "reads all of it",
    "zeros": "reads all of it, zeros in its weights",
    "slice": "Slice",
    "gather": "Gather",
    "own": "has a producer of its own",
}


WAYS = {
    "original": "predicted time of a run, not pruned",
    "constrained": "consumers tied, as many parameters",
    "naive": "a Gather at every place",
    "upscale": "in the order of the path heuristic",
    "written": "as it is written",
}
_WIDEST = max(len(text) for text in WAYS.values())


class ConsumerEntry(Document):
    """What one consumer reads of a stream.

    Attributes:
        value: the value it reads from.
        nodes: the nodes that read it.
        before: channels it wants, as indices of the original.
        after: places at which they stand in the new order.
        how: how it gets them.
        bytes: bytes that a copy for it writes in one run at the probe sizes, 0 without one; what
            several consumers share counts for each.
    """

    value: str
    nodes: list[str]
    before: list[int]
    after: list[int]
    how: How
    bytes: int = 0


class StreamEntry(Document):
    """Channels that may change places together.

    Attributes:
        values: values that carry them.
        channels: their number in the original.
        order: the channel of the original that stands at every place.
        consumers: what reads them, in the order of the graph.
    """

    values: list[str]
    channels: int
    order: list[int]
    consumers: list[ConsumerEntry]


class OrderReport(Document):
    """What `order --json` writes.

    Attributes:
        streams: channels that may change places, and what consumers read of them.
        predicted_us: predicted time of a run in microseconds, by how the plan is written; see
            `CopiesMade`.
    """

    format: Literal["onnxprune.order/1"] = "onnxprune.order/1"
    streams: list[StreamEntry] = Field(default_factory=list)
    predicted_us: dict[str, float] = Field(default_factory=dict)


def stream_entries(analysis: Analysis, layout: Layout) -> list[StreamEntry]:
    """List the streams of a model with what their consumers read.

    Args:
        analysis: the unconstrained analysis.
        layout: how a cut is laid out.
    """
    deps = analysis.deps
    cuts = Cuts(deps.ctx, layout.slots, deps.settings[0])
    readers: dict[str, list[str]] = {}
    for node in deps.graph.nodes:
        for key in node.inputs:
            readers.setdefault(key, []).append(node.name)
    edges = find_edges(deps)
    width = element_bytes(deps)
    found = []
    for stream in find_streams(deps):
        place = np.full(len(deps.roots), -1)
        place[stream.columns] = np.arange(len(stream.columns))[:, None]
        order = place[layout.holds[stream.columns[:, 0]]]
        position = np.argsort(order)
        consumers = []
        for edge in edges:
            columns = place[edge.below]
            wanted = np.unique(columns[(columns >= 0) & ~layout.removed[edge.below]])
            if not (columns >= 0).any():
                continue
            how = _how(cuts, edge, layout)
            copied = how in ("slice", "gather")
            kept = int(np.count_nonzero(~layout.cut[edge.below])) if copied else 0
            consumers.append(
                ConsumerEntry(
                    value=edge.value,
                    nodes=readers.get(edge.node.outputs[0], []),
                    before=wanted.tolist(),
                    after=np.sort(position[wanted]).tolist(),
                    how=how,
                    bytes=kept * edge.positions * width(edge.value),
                )
            )
        if consumers:
            found.append(
                StreamEntry(
                    values=list(dict.fromkeys(c.value for c in consumers)),
                    channels=len(stream.columns),
                    order=order.tolist(),
                    consumers=consumers,
                )
            )
    return found


def _how(cuts: Cuts, edge: Edge, layout: Layout) -> How:
    if edge.value in layout.apart:
        return "own"
    indices = wanted_indices(cuts, edge.value, edge.node.outputs[0], edge.axis)
    if indices is None:
        unread = layout.removed[edge.below] & ~layout.cut[edge.below]
        return "zeros" if unread.any() else "everything"
    return "slice" if (np.diff(indices) == 1).all() else "gather"


def stream_lines(report: OrderReport) -> list[str]:
    """Draw streams as text: a line for every consumer, its channels before and after.

    `#` stands for channels that are read, `.` for others, `+` for some of each. Below, how long a
    run would take by prediction.
    """
    lines: list[str] = []
    for entry in report.streams:
        width = min(entry.channels, _CELLS)
        lines += [f"{printable(entry.values[0])}: {entry.channels} channels"]
        if len(entry.values) > 1:
            lines[-1] += f", the same order in {len(entry.values)} values"
        names = [printable(", ".join(c.nodes)) for c in entry.consumers]
        longest = max(len(name) for name in names)
        lines.append(f"  {'':{longest}}  {'before':{width}}  {'after':{width}}")
        for name, consumer in zip(names, entry.consumers, strict=True):
            before, after = (_bar(x, entry.channels) for x in (consumer.before, consumer.after))
            lines.append(f"  {name:{longest}}  {before}  {after}  {said(consumer)}")
        lines.append("")
    if not lines:
        return ["no stream has several consumers"]
    times = report.predicted_us
    return [*lines, *(f"{WAYS[name]:{_WIDEST}}  {times[name] / 1e3:10.3f} ms" for name in times)]


def said(consumer: ConsumerEntry) -> str:
    """Return in words how a consumer gets its channels."""
    copied = f", {count(consumer.bytes)}B" if consumer.bytes else ""
    return _SAID[consumer.how] + copied


def _bar(wanted: list[int], channels: int) -> str:
    flags = np.zeros(channels, bool)
    flags[wanted] = True
    cells = np.array_split(flags, min(channels, _CELLS))
    return "".join("#" if c.all() else "+" if c.any() else "." for c in cells)

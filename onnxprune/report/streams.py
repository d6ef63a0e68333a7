"""Streams and what their consumers read of them, before and after channels change places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from xml.sax.saxutils import escape

import numpy as np
from pydantic import Field

from onnxprune.core.cuts import Cuts
from onnxprune.core.symmetry import find_streams
from onnxprune.errors import printable
from onnxprune.planning.latency import find_edges
from onnxprune.report.document import Document
from onnxprune.rewrite.selects import wanted_indices

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.layout import Layout
    from onnxprune.planning.latency import Edge

    Flags = NDArray[np.bool_]

How = Literal["everything", "zeros", "slice", "gather"]

_CELLS = 64
_SAID: dict[str, str] = {
    "everything": "reads all of it",
    "zeros": "reads all of it, zeros in its weights",
    "slice": "Slice",
    "gather": "Gather",
}


class ConsumerEntry(Document):
    """What one consumer reads of a stream.

    Attributes:
        value: the value it reads from.
        nodes: the nodes that read it.
        before: channels it wants, as indices of the original.
        after: places at which they stand in the new order.
        how: how it gets them.
    """

    value: str
    nodes: list[str]
    before: list[int]
    after: list[int]
    how: How


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
    """What `order --json` writes."""

    format: Literal["onnxprune.order/1"] = "onnxprune.order/1"
    streams: list[StreamEntry] = Field(default_factory=list)


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
            consumers.append(
                ConsumerEntry(
                    value=edge.value,
                    nodes=readers.get(edge.node.outputs[0], []),
                    before=wanted.tolist(),
                    after=np.sort(position[wanted]).tolist(),
                    how=_how(cuts, edge, layout),
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
    indices = wanted_indices(cuts, edge.value, edge.node.outputs[0], edge.axis)
    if indices is None:
        unread = layout.removed[edge.below] & ~layout.cut[edge.below]
        return "zeros" if unread.any() else "everything"
    return "slice" if (np.diff(indices) == 1).all() else "gather"


def stream_lines(entries: list[StreamEntry]) -> list[str]:
    """Draw streams as text: a line for every consumer, its channels before and after.

    `#` stands for channels that are read, `.` for others, `+` for some of each.
    """
    lines: list[str] = []
    for entry in entries:
        width = min(entry.channels, _CELLS)
        lines += [f"{printable(entry.values[0])}: {entry.channels} channels"]
        if len(entry.values) > 1:
            lines[-1] += f", the same order in {len(entry.values)} values"
        names = [printable(", ".join(c.nodes)) for c in entry.consumers]
        longest = max(len(name) for name in names)
        lines.append(f"  {'':{longest}}  {'before':{width}}  {'after':{width}}")
        for name, consumer in zip(names, entry.consumers, strict=True):
            before, after = (_bar(x, entry.channels) for x in (consumer.before, consumer.after))
            lines.append(f"  {name:{longest}}  {before}  {after}  {_SAID[consumer.how]}")
        lines.append("")
    return lines or ["no stream has several consumers"]


def _bar(wanted: list[int], channels: int) -> str:
    flags = np.zeros(channels, bool)
    flags[wanted] = True
    cells = np.array_split(flags, min(channels, _CELLS))
    return "".join("#" if c.all() else "+" if c.any() else "." for c in cells)


_ROW, _BAR, _GAP, _LEFT = 14, 360, 24, 260


def stream_picture(entries: list[StreamEntry]) -> str:
    """Draw streams as an SVG: the channels of every consumer, left before and right after."""
    body: list[str] = []
    top = _ROW * 2
    for entry in entries:
        title = f"{entry.values[0]}: {entry.channels} channels"
        body.append(f'<text x="8" y="{top}" font-weight="bold">{escape(printable(title))}</text>')
        top += 6
        for consumer in entry.consumers:
            name = printable(", ".join(consumer.nodes))[-40:]
            body.append(f'<text x="{_LEFT - 8}" y="{top + 10}" class="n">{escape(name)}</text>')
            for side, wanted in enumerate((consumer.before, consumer.after)):
                x = _LEFT + side * (_BAR + _GAP)
                body.append(f'<rect x="{x}" y="{top}" width="{_BAR}" height="11" class="o"/>')
                for start, end in _runs(wanted):
                    left, right = (_BAR * i / entry.channels for i in (start, end))
                    body.append(
                        f'<rect x="{x + left:.2f}" y="{top}" width="{right - left:.2f}" '
                        f'height="11" class="{consumer.how}"/>'
                    )
            top += _ROW
        top += _ROW * 2
    width = _LEFT + 2 * _BAR + 2 * _GAP
    style = (
        "text{font:10px sans-serif}.n{text-anchor:end}.o{fill:#eee}.everything{fill:#2a7}"
        ".zeros{fill:#7b9}.slice{fill:#48c}.gather{fill:#c64}"
    )
    legend = "left before, right after; green all, light green zeros, blue Slice, red Gather"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}">\n'
        f'<style>{style}</style>\n<text x="8" y="14">{legend}</text>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _runs(wanted: list[int]) -> list[tuple[int, int]]:
    """Return neighbouring numbers as ranges."""
    if not wanted:
        return []
    array = np.array(wanted)
    breaks = np.flatnonzero(np.diff(array) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(array, breaks)]

"""A picture of streams: what every consumer reads, before and after channels change places."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import numpy as np

from onnxprune.errors import printable
from onnxprune.report.streams import WAYS, said

if TYPE_CHECKING:
    from onnxprune.report.streams import OrderReport, StreamEntry

__all__ = ["stream_picture"]

_ROW, _BAR, _GAP, _LEFT, _RIGHT = 15, 340, 20, 280, 250
_SIDES = (_LEFT, _LEFT + _BAR + _GAP)
_WIDTH = _SIDES[1] + _BAR + _GAP + _RIGHT
_STYLE = (
    "text{font:11px sans-serif;fill:#222}.b{font-weight:bold}.n{text-anchor:end}.o{fill:#e8e8e8}"
    ".everything{fill:#117733}.zeros{fill:#88ccaa}.slice{fill:#4477aa}.gather{fill:#cc6644}"
    ".own{fill:#aa4499}.t{fill:#888}"
)
_LEGEND = (
    ("everything", "reads all there is"),
    ("zeros", "reads all, with zeros in its weights"),
    ("slice", "a run: Slice"),
    ("gather", "several runs: Gather"),
    ("own", "a producer of its own"),
)


def stream_picture(report: OrderReport) -> str:
    """Draw streams as an SVG: a row for every consumer, its channels left before and right after.

    Below, how long a run would take by prediction, written in several ways.

    Args:
        report: the streams.
    """
    body = [f'<rect width="{_WIDTH}" height="100%" fill="#fff"/>']
    for number, (how, text) in enumerate(_LEGEND):
        x = 8 + number * 230
        body += [_rect(x, 8, 11, how), _text(x + 16, 18, text)]
    top = 48
    for entry in report.streams:
        body += _stream(entry, top)
        top += _ROW * (len(entry.consumers) + 3)
    if report.streams and report.predicted_us:
        body += _times(report.predicted_us, top)
        top += _ROW * (len(report.predicted_us) + 1)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{top + _ROW}" '
        f'viewBox="0 0 {_WIDTH} {top + _ROW}">\n<style>{_STYLE}</style>\n'
        + "\n".join(body)
        + "\n</svg>\n"
    )


def _stream(entry: StreamEntry, top: int) -> list[str]:
    title = f"{entry.values[0]}: {entry.channels} channels"
    if len(entry.values) > 1:
        title += f", the same order in {len(entry.values)} values"
    body = [_text(8, top, title, "b")]
    body += [
        _text(x, top + _ROW, text) for x, text in zip(_SIDES, ("before", "after"), strict=True)
    ]
    for number, consumer in enumerate(entry.consumers):
        y = top + _ROW + 5 + number * _ROW
        name = printable(", ".join(consumer.nodes))
        shown = name if len(name) <= 44 else f"…{name[-43:]}"
        body.append(_text(_LEFT - 8, y + 10, shown, "n"))
        body.append(_text(_SIDES[1] + _BAR + 8, y + 10, said(consumer)))
        for x, wanted in zip(_SIDES, (consumer.before, consumer.after), strict=True):
            body.append(_rect(x, y, _BAR, "o"))
            scale = _BAR / entry.channels
            body += [
                _rect(x + start * scale, y, (end - start) * scale, consumer.how)
                for start, end in _runs(wanted)
            ]
    return body


def _times(times: dict[str, float], top: int) -> list[str]:
    longest = max(*times.values(), 1e-9)
    body = []
    for number, (name, us) in enumerate(times.items()):
        y = top + number * _ROW
        body += [
            _text(_LEFT - 8, y + 10, WAYS[name], "n"),
            _rect(_LEFT, y, us / longest * _BAR, "t"),
            _text(_LEFT + us / longest * _BAR + 8, y + 10, f"{us / 1e3:.3f} ms"),
        ]
    return body


def _text(x: float, y: float, text: str, kind: str = "") -> str:
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.2f}" y="{y}"{style}>{escape(printable(text))}</text>'


def _rect(x: float, y: float, width: float, kind: str) -> str:
    return f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="11" class="{kind}"/>'


def _runs(wanted: list[int]) -> list[tuple[int, int]]:
    """Return neighbouring numbers as ranges."""
    if not wanted:
        return []
    array = np.array(wanted)
    breaks = np.flatnonzero(np.diff(array) != 1) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(array, breaks)]

"""The pictures of a page, as SVG: readable without colour, the same bytes for the same results."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

from onnxprune.errors import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from onnxprune.audit.document import GroupEntry
    from onnxprune.bench.document import ComparisonEntry, OperatorPair
    from onnxprune.page.collect import Candidate
    from onnxprune.report.models import LayerEntry

# Wong, "Points of view: Color blindness", Nature Methods 8, 441 (2011).
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_LINES = ("-", "--", "-.", ":")
_GREY = "#767676"
_WIDTH_IN = 8.0
_MOST_GROUPS = 60
_MOST_LAYERS = 160
_OPERATORS = 12
_MOST_SUBGROUPS = 30
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name with dollar signs is a name
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "legend.frameon": False,
}


def tradeoff(
    candidates: Sequence[Candidate], quality_name: str, quality: Mapping[str, tuple[float, float]]
) -> str | None:
    """Draw what was gained and what was paid, against the multiply-accumulates that remain.

    Args:
        candidates: pruned models.
        quality_name: what tells how good a model is.
        quality: that of the original and of the pruned model, by the pruned model's path.

    Returns:
        None when there is nothing to draw.
    """
    reports = [(c, 1 - c.prune.achieved.macs) for c in candidates if c.prune]
    timed = [(c, macs, p) for c, macs in reports for p in c.comparisons]
    rated = [(c, macs, *quality[c.path]) for c, macs in reports if c.path in quality]
    if not timed and not rated:
        return None

    def draw(figure: Figure) -> None:
        panels = iter(figure.subplots(1, bool(timed) + bool(rated), squeeze=False)[0])
        if timed:
            _latency_against_macs(next(panels), timed)
        if rated:
            _quality_against_macs(next(panels), rated, quality_name)

    return _svg("tradeoff", 3.8, draw)


def _latency_against_macs(axes: Axes, timed: Sequence[tuple[Candidate, float, Any]]) -> None:
    providers = sorted({_setting(p) for _, _, p in timed})
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle=":", label="time = MACs")
    for number, provider in enumerate(providers):
        own = [(macs, p.ratio, *p.ci95) for _, macs, p in timed if _setting(p) == provider]
        macs, ratio, low, high = zip(*sorted([(1.0, 1.0, 1.0, 1.0), *own]), strict=True)
        spread = [
            [r - a for r, a in zip(ratio, low, strict=True)],
            [b - r for r, b in zip(ratio, high, strict=True)],
        ]
        axes.errorbar(
            macs, ratio, spread, color=_COLOURS[number % 7], capsize=3, label=provider,
            marker=_MARKERS[number % 7], linestyle=_LINES[number % 4],
        )  # fmt: skip
    _from_zero(axes)
    axes.set(xlabel="MACs that remain", ylabel="time, original = 1")
    axes.legend()


def _quality_against_macs(
    axes: Axes, rated: Sequence[tuple[Candidate, float, float, float]], name: str
) -> None:
    own = [c.name for c, *_ in rated] if len(rated) > 1 else [""]
    start = len(os.path.commonprefix(own))  # noqa: RUF071  # characters, not folders
    points = [(macs, after, c.name[start:] or c.name) for c, macs, _, after in rated]
    macs, values, names = zip(*sorted([(1.0, rated[0][2], "original"), *points]), strict=True)
    axes.plot(macs, values, color=_COLOURS[0], marker="o")
    for x, y, text in zip(macs, values, names, strict=True):
        axes.annotate(
            _short(text), (x, y), xytext=(0, -13), textcoords="offset points", fontsize=8,
            ha="right" if x > 0.8 else "center",
        )  # fmt: skip
    axes.margins(y=0.2)
    axes.set(xlabel="MACs that remain", ylabel=_short(name.rpartition(":")[2]), xlim=(0, 1.05))
    axes.xaxis.set_major_formatter(_percent)


def pareto(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Draw the jobs of a sweep: what was lost against what remains, and those that none beats.

    Args:
        rows: lines of a sweep's results.

    Returns:
        None when no job tells what was lost or how long it takes.
    """
    points = []
    for row in rows:
        judged = row["metric"] or row["fidelity"]
        times = [c["ratio"] for c in row["comparisons"]]
        if row["achieved"] is None or (judged is None and not times):
            continue
        left = min(times) if times else 1 - row["achieved"]["macs"]
        lost = judged["drop"] if judged else 1 - row["achieved"]["params"]
        points.append((float(left), float(lost), str(row["job"])))
    if not points:
        return None
    timed = any(row["comparisons"] for row in rows)
    judged = any(row["metric"] or row["fidelity"] for row in rows)
    best = [p for p in points if not any(_beats(other, p) for other in points)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        rest = [p for p in points if p not in best]
        axes.scatter(
            [p[0] for p in rest], [p[1] for p in rest], marker="o", facecolor="white",
            edgecolor=_GREY, label="beaten by another",
        )  # fmt: skip
        front = sorted(best)
        axes.plot(
            [p[0] for p in front], [p[1] for p in front], color=_COLOURS[0], marker="s",
            label="beaten by none",
        )  # fmt: skip
        for x, y, job in points:
            axes.annotate(job, (x, y), xytext=(4, 4), textcoords="offset points", fontsize=8)
        axes.set(
            xlabel="time, original = 1" if timed else "MACs that remain, original = 1",
            ylabel="lost" if judged else "parameters that remain, original = 1",
        )
        axes.legend()

    return _svg("pareto", 4.2, draw)


def _beats(one: tuple[float, float, str], other: tuple[float, float, str]) -> bool:
    """Tell whether a point is nowhere worse and somewhere better."""
    return one[:2] != other[:2] and one[0] <= other[0] and one[1] <= other[1]


def latencies(comparisons: Sequence[tuple[str, ComparisonEntry]]) -> str | None:
    """Draw the ratio of each comparison with its interval."""
    if not comparisons:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(comparisons))
        for place, (_, entry) in zip(places, comparisons, strict=True):
            hollow = entry.verdict == "inconclusive"
            axes.errorbar(
                entry.ratio, place,
                xerr=[[entry.ratio - entry.ci95[0]], [entry.ci95[1] - entry.ratio]],
                marker="o" if entry.verdict == "faster" else "s", capsize=4, color=_COLOURS[0],
                markerfacecolor="white" if hollow else _COLOURS[0],
            )  # fmt: skip
            axes.annotate(
                f"{entry.ratio:.2f}", (entry.ratio, place), xytext=(0, 7),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
        axes.axvline(1, color=_GREY, linewidth=1)
        axes.set_yticks(list(places), [f"{name}, {_setting(c)}" for name, c in comparisons])
        axes.set_ylim(len(comparisons) - 0.4, -0.6)
        axes.set(xlabel="time, original = 1 (95 % interval)")
        axes.set_xlim(left=0)

    return _svg("latencies", 1.2 + 0.4 * len(comparisons), draw)


def excesses(entries: Sequence[GroupEntry]) -> str | None:
    """Draw how much more than all samples together each class or subgroup lost."""
    shown = sorted(entries, key=lambda e: (-e.excess, e.p_holm))[:_MOST_SUBGROUPS]
    if not shown:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for place, entry in enumerate(shown):
            axes.plot(entry.excess_ci95, (place, place), color=_COLOURS[0], linewidth=1.5)
            axes.plot(
                entry.excess, place, marker="s" if entry.hurt else "o", color=_COLOURS[0],
                markerfacecolor=_COLOURS[0] if entry.hurt else "white",
            )  # fmt: skip
        axes.axvline(0, color=_GREY, linewidth=1)
        axes.set_yticks(range(len(shown)), [_short(entry.name) for entry in shown])
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set(xlabel="drop of the accuracy beyond that of all samples (95 % interval)")

    return _svg("excesses", 1.0 + 0.26 * len(shown), draw)


def widths(candidates: Sequence[Candidate]) -> str | None:
    """Draw how wide each layer was and is: the number of channels that its weight makes."""
    shown = [c for c in candidates if c.prune and c.prune.layers][:4]
    if not shown:
        return None
    assert shown[0].prune is not None
    layers = shown[0].prune.layers[:_MOST_LAYERS]
    order = {layer.node: place for place, layer in enumerate(layers)}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        before = [_width(layer.shape_before, layer) for layer in layers]
        axes.bar(range(len(layers)), before, width=1, color="#e4e4e4", label="original")
        for number, candidate in enumerate(shown):
            assert candidate.prune is not None
            points = [
                (order[e.node], _width(e.shape_after, e))
                for e in candidate.prune.layers
                if e.node in order
            ]
            places, after = zip(*sorted(points), strict=True)
            axes.step(
                places, after, where="mid", color=_COLOURS[number], linewidth=1.4,
                linestyle=_LINES[number], label=candidate.name,
            )  # fmt: skip
        axes.set(xlabel="layers in the order of the network", ylabel="channels")
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter(lambda width, _: f"{width:.0f}")
        axes.margins(x=0.01)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)

    return _svg("widths", 3.4, draw)


def operators(pairs: Sequence[OperatorPair]) -> str | None:
    """Draw the nodes that took longest, before and after."""
    longest = sorted(pairs, key=lambda p: -max(p.before_us or 0, p.after_us or 0))[:_OPERATORS]
    if not longest:
        return None

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        places = range(len(longest))
        for offset, hatch, colour, label in (
            (-0.2, "", "#c8c8c8", "original"),
            (0.2, "////", _COLOURS[0], "pruned"),
        ):
            times = [(p.before_us if offset < 0 else p.after_us) or 0.0 for p in longest]
            axes.barh(
                [p + offset for p in places], times, height=0.4, hatch=hatch, label=label,
                facecolor="white" if hatch else colour, edgecolor=colour,
            )  # fmt: skip
        axes.set_yticks(list(places), [f"{_short(p.node)} ({p.op})" for p in longest])
        axes.set_ylim(len(longest) - 0.4, -0.6)
        axes.set(xlabel="time of a run, microseconds")
        axes.legend()

    return _svg("operators", 1.0 + 0.32 * len(longest), draw)


def couplings(layers: Sequence[LayerEntry]) -> str | None:
    """Draw which layers make (filled) and which read (hollow) the channels of each group."""
    layers = layers[:_MOST_LAYERS]
    groups = list(dict.fromkeys(g for layer in layers for g in (*layer.makes, *layer.reads)))
    groups = groups[:_MOST_GROUPS]
    if not groups:
        return None
    row = {group: place for place, group in enumerate(groups)}

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for face, names in (("makes", "makes"), ("reads", "reads")):
            points = [
                (place, row[g])
                for place, layer in enumerate(layers)
                for g in getattr(layer, names)
                if g in row
            ]
            axes.scatter(
                [p[0] for p in points], [p[1] for p in points], s=22, zorder=3,
                facecolor=_COLOURS[0] if face == "makes" else "white", edgecolor=_COLOURS[0],
                marker="o", label=f"{face} its channels",
            )  # fmt: skip
        for group, place in row.items():
            ends = [i for i, e in enumerate(layers) if group in e.makes or group in e.reads]
            axes.plot([ends[0], ends[-1]], [place, place], color=_GREY, linewidth=1)
        axes.set_yticks(range(len(groups)), groups, fontsize=8)
        axes.set_ylim(len(groups) - 0.4, -0.6)
        axes.set(xlabel="layers in the order of the network", ylabel="coupled groups")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)

    return _svg("couplings", 1.3 + 0.17 * len(groups), draw)


def _setting(entry: ComparisonEntry) -> str:
    threads = "1 thread" if entry.threads == 1 else f"{entry.threads or 'all'} threads"
    return f"{_short(entry.provider)}, {threads}"


def _width(shape: Sequence[int], layer: LayerEntry) -> int:
    """Return how many channels a weight makes: its first axis, of a matrix its last."""
    return shape[0] if "Conv" in layer.op and layer.op != "ConvTranspose" else shape[-1]


def _short(text: str, limit: int = 30) -> str:
    text = printable(text)
    return text if len(text) <= limit else f"...{text[3 - limit :]}"


def _percent(share: float, _position: object) -> str:
    return f"{share:.0%}"


def _from_zero(axes: Axes) -> None:
    axes.set(xlim=(0, 1.05), ylim=(0, max(1.05, axes.get_ylim()[1])))
    axes.xaxis.set_major_formatter(_percent)


def _svg(name: str, height_in: float, draw: Any) -> str:  # noqa: ANN401  # a function of a figure
    with mpl.rc_context(_STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=(_WIDTH_IN, height_in), layout="constrained")
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return stream.getvalue()

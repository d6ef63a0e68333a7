"""Results as one self-contained HTML page, or as Markdown."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from onnxprune.audit.table import verdict
from onnxprune.errors import printable
from onnxprune.page import figures
from onnxprune.page.collect import shown_name
from onnxprune.page.summary import headline, quality, sentence
from onnxprune.report.tables import count
from onnxprune.version import __version__

if TYPE_CHECKING:
    from onnxprune.page.collect import Candidate, Results

_NAME_LENGTH = 80
_TEXT_LENGTH = 1000
_MARKS = re.compile(r"([\\`*_{}\[\]<>#|!~&$@])")


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure of the page.

    Attributes:
        title: its heading.
        text: what it shows, for those who do not see it as well.
        source: the SVG as an address.
    """

    title: str
    text: str
    source: str


def to_html(results: Results) -> str:
    """Return a page that needs nothing beside it: no script, no network.

    Args:
        results: the documents.
    """
    return (
        _environment(html=True)
        .get_template("page.html.j2")
        .render(**_content(results), pictures=_pictures(results))
    )


def to_markdown(results: Results) -> str:
    """Return the summary and the tables as Markdown, for terminals and pull requests.

    Args:
        results: the documents.
    """
    return _environment(html=False).get_template("page.md.j2").render(**_content(results))


def _content(results: Results) -> dict[str, object]:
    return {
        "title": shown_name(results.original) if results.original else "Results",
        "headline": headline(results),
        "sentences": [(c.name, sentence(c)) for c in results.candidates],
        "results": results,
        "version": __version__,
        "verdict": verdict,
    }


def _pictures(results: Results) -> list[Picture]:
    """Draw what there is to draw."""
    candidates = results.candidates
    timed = [(c.name, entry) for c in candidates for entry in c.comparisons]
    fastest = min((e for _, e in timed), key=lambda e: e.ratio, default=None)
    layers = next((c.prune.layers for c in candidates if c.prune and c.prune.layers), [])
    drawn = [
        (
            "What was gained, and what was paid",
            "Time and quality against the share of multiply-accumulates that remains.",
            figures.tradeoff(candidates, *quality(candidates)),
        ),
        (
            "Latency",
            (
                "Each pruned model's time divided by the original's, measured in turns. A hollow "
                "mark is inconclusive."
            ),
            figures.latencies(timed),
        ),
        (
            "Width of each layer",
            "Channels that each layer makes: bars before, lines after.",
            figures.widths(candidates),
        ),
        (
            "Where the time went",
            f"The nodes that take longest, {results.name(fastest.candidate) if fastest else ''}.",
            figures.operators(fastest.operators) if fastest else None,
        ),
        (
            "What leaves together",
            (
                "Every line is a coupled group: filled where a layer makes its channels, hollow "
                "where one reads them. They leave everywhere at once."
            ),
            figures.couplings(layers),
        ),
    ]
    for candidate in candidates:
        drawn += _audit_pictures(candidate)
    return [Picture(title, text, _address(svg)) for title, text, svg in drawn if svg]


def _audit_pictures(candidate: Candidate) -> list[tuple[str, str, str | None]]:
    """Draw whom a pruned model has forgotten."""
    if candidate.audit is None:
        return []
    text = "Right of zero, pruning took more than from the samples together. A filled square is "
    text += f"significant, at the level {candidate.audit.level:g} over all of them."
    drawn = (("class", candidate.audit.classes), ("subgroup", candidate.audit.groups))
    return [
        (f"Who lost more, by {what}: {candidate.name}", text, figures.excesses(e))
        for what, e in drawn
    ]


def _address(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _environment(*, html: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("onnxprune", "page"), undefined=StrictUndefined,
        autoescape=html,  # noqa: S701  # in Markdown, every name goes through a filter
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["count"] = count
    environment.filters["name"] = _html_name if html else _markdown_name
    environment.filters["text"] = _html_text if html else _markdown_text
    environment.filters["percent"] = lambda share: f"{share:.1%}".replace("%", " %")
    environment.filters["number"] = lambda value: "-" if value is None else f"{value:.3g}"
    environment.filters["megabytes"] = lambda n: "-" if n is None else f"{n / 1e6:.1f} MB"
    return environment


def _html_name(text: object) -> str:
    return printable(text, limit=_NAME_LENGTH)


def _html_text(text: object) -> str:
    return printable(text, limit=_TEXT_LENGTH)


def _markdown_name(text: object) -> str:
    return _markdown_text(printable(text, limit=_NAME_LENGTH))


def _markdown_text(text: object) -> str:
    r"""Return text that Markdown shows as it is.

    Examples:
        >>> _markdown_text("a|b_c")
        'a\\|b\\_c'
    """
    return _MARKS.sub(r"\\\1", printable(text, limit=_TEXT_LENGTH))

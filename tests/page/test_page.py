"""Pages of results: complete, self-contained, and deaf to what names try to do."""

from __future__ import annotations

import base64
import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest

from onnxprune import pipeline
from onnxprune.cli.main import run
from onnxprune.demo import MODEL
from onnxprune.fidelity import Fidelity, MetricChange, OutputFidelity
from onnxprune.gate.document import CheckEntry, CheckFile, CheckReport
from onnxprune.page import read_results, to_html, to_markdown

if TYPE_CHECKING:
    from pathlib import Path

HOSTILE = "</script><script>alert(1)</script>\x1b[31m|`$(reboot)`\n::error::x"


FIDELITY = Fidelity(
    samples=9, drop=0.1, outputs=[OutputFidelity(output=HOSTILE, top1_agreement=0.9, drop=0.1)]
)
METRIC = MetricChange(name=HOSTILE, before=0.9, after=0.8, drop=0.1)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Documents of two pruned models, and of a measurement made up from them."""
    folder = tmp_path_factory.mktemp("results")
    found = {}
    for name, ratio in (("less", 0.2), ("more", 0.5)):
        report = pipeline.prune(MODEL, folder / f"{name}.onnx", ratio=ratio, verify=False)
        report = report.model_copy(update={"fidelity": FIDELITY, "metric": METRIC})
        found[name] = json.loads(report.to_json())
    entry = CheckEntry(name=HOSTILE, limit=1, value=2, outcome="fail", message=HOSTILE)
    file = CheckFile(path=found["less"]["output"]["path"], sha256="", bytes=1)
    check = CheckReport(
        passed=False, status=1, pruned=file, baseline=None, config=None, on_inconclusive=None,
        checks=[entry], seconds=1,
    )  # fmt: skip
    found["check"] = json.loads(check.to_json())
    found["bench"] = bench(str(MODEL), [found[n]["output"]["path"] for n in ("less", "more")])
    return found


def bench(baseline: str, candidates: list[str]) -> dict[str, Any]:
    """Return a measurement."""
    pair = {"node": HOSTILE, "op": "Conv", "before_us": 9.0, "after_us": 4.0}
    self_test = {"ratio": 1.0, "ci99": [0.99, 1.01], "passed": True, "attempts": 1}
    machine = {
        "cpu": HOSTILE, "cores": 2, "memory_bytes": None, "architecture": "x86_64", "system": "x",
        "python": "3", "onnx": "1", "load_average": None, "governor": None,
    }  # fmt: skip
    protocol = {
        "description": "in turns", "inputs": {}, "threads": [1], "spinning": False, "rebuilds": 8,
        "most_rebuilds": 8, "pairs": 1, "block_ms": 1, "warm_up_ms": 1, "half_width": 0.1,
        "time_budget_s": 1, "seed": 0,
    }  # fmt: skip
    comparisons = [
        {
            "baseline": baseline, "candidate": path, "provider": HOSTILE, "threads": 1,
            "ratio": 0.5 + 0.1 * n, "ci95": [0.4, 0.8], "verdict": "faster", "reason": "",
            "clock": "cpu", "statistic": "median", "wall_p50_ratio": 0.5, "macs_ratio": None,
            "rebuilds": 8, "pairs": 1, "runs": 1, "stopped": "", "seconds": 1.0,
            "self_test": self_test, "operators": [pair],
        }
        for n, path in enumerate(candidates)
    ]  # fmt: skip
    return {
        "format": "onnxprune.bench/1", "protocol": protocol, "runs": [],
        "environment": {"machine": machine, "load_average_after": None, "providers": []},
        "comparisons": comparisons, "self_tests": {}, "notes": [],
        "failures": [{"provider": HOSTILE, "model": None, "error": HOSTILE, "hint": None}],
    }  # fmt: skip


def write(folder: Path, *documents: dict[str, Any]) -> list[Path]:
    """Write documents to files."""
    paths = []
    for number, document in enumerate(documents):
        path = folder / f"{number}.json"
        path.write_text(json.dumps(document))
        paths.append(path)
    return paths


class _Tags(HTMLParser):
    """Collects the tags of a page, and its pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [v or "" for k, v in attrs if k in ("src", "href")]
        assert not any(k.startswith("on") for k, _ in attrs)


def test_page_is_whole_and_self_contained(documents: dict[str, Any], tmp_path: Path) -> None:
    """All pictures are inside, nothing is loaded, and no name became markup."""
    results = read_results(write(tmp_path, *documents.values()))
    html = to_html(results)
    page = _Tags()
    page.feed(html)
    assert "script" not in page.tags
    assert page.tags.count("img") == 5
    assert len(html) < 1_000_000
    for address in page.addresses:
        head, _, content = address.partition(",")
        assert head == "data:image/svg+xml;base64"
        svg = base64.b64decode(content).decode()
        ET.fromstring(svg)
        assert "<script" not in svg
        assert not re.search(r'href="(?!#)', svg)
    assert "\x1b" not in html
    for name in ("less", "more"):
        assert f"<strong>{name}</strong>" in html
    assert html == to_html(results)


def test_markdown_is_inert(documents: dict[str, Any], tmp_path: Path) -> None:
    """No name makes a cell, markup or a command of a line of its own."""
    text = to_markdown(read_results(write(tmp_path, *documents.values())))
    assert "<script>" not in text
    assert "\x1b" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
    rows = [line for line in text.splitlines() if line.startswith("| less")]
    assert len(rows) == 2
    assert "The check FAILED" in text
    assert "90.0 % of the cases" in text
    for row, columns in zip(rows, (6, 6), strict=True):
        assert len(re.findall(r"(?<!\\)\|", row)) == columns + 1


def test_documents_of_one_model_meet(documents: dict[str, Any], tmp_path: Path) -> None:
    """A measurement made where the file lay elsewhere belongs to the same model."""
    moved = json.loads(json.dumps(documents["bench"]))
    for comparison in moved["comparisons"]:
        comparison["candidate"] = "/elsewhere/" + comparison["candidate"].rpartition("/")[2]
    results = read_results(write(tmp_path, documents["less"], documents["more"], moved))
    assert [len(c.comparisons) for c in results.candidates] == [1, 1]


def test_models_of_one_name_stay_apart(documents: dict[str, Any], tmp_path: Path) -> None:
    """Two files of the same name are two models."""
    first, second = (json.loads(json.dumps(documents["less"])) for _ in range(2))
    second["output"]["path"] = "/elsewhere/less.onnx"
    results = read_results(write(tmp_path, first, second))
    assert len(results.candidates) == 2


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("{", "no JSON"),
        ("[1]", "says no format"),
        ('{"format": "x\\u001b"}', "has format 'x\\x1b'"),
        ('{"format": "onnxprune.prune/1"}', "input: Field required"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_result_is_refused(
    content: str, part: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One message, status 2, nothing written."""
    path = tmp_path / "bad.json"
    path.write_text(content)
    out = tmp_path / "page.html"
    assert run(["report", str(path), "-o", str(out)]) == 2
    assert part in capsys.readouterr().err
    assert not out.exists()


def test_command(documents: dict[str, Any], tmp_path: Path) -> None:
    """The ending of the output says what is wanted; an input is never overwritten."""
    paths = write(tmp_path, documents["less"])
    for name, start in (("p.html", "<!DOCTYPE html>"), ("p.md", "# digits")):
        assert run(["report", str(paths[0]), "-o", str(tmp_path / name)]) == 0
        assert (tmp_path / name).read_text().startswith(start)
    assert run(["report", str(paths[0]), "-o", str(tmp_path / "p.pdf")]) == 2
    linked = tmp_path / "linked.html"
    linked.hardlink_to(paths[0])
    before = paths[0].read_bytes()
    assert run(["report", str(paths[0]), "-o", str(linked)]) == 2
    assert paths[0].read_bytes() == before

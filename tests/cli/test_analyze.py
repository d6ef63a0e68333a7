"""What `analyze` says: to people, to programs, about one value, and as a picture."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import networkx as nx
import pytest

from onnxprune.cli import console
from onnxprune.report.models import AnalysisReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_json_describes_every_atom(cli: Callable, model: Path) -> None:
    outcome = cli("analyze", model, "--json", "-")
    assert (outcome.code, outcome.err) == (0, "")
    report = AnalysisReport.model_validate_json(outcome.out)
    assert outcome.json["format"] == "onnxprune.analysis/1"
    assert [(g.kind, g.size, g.exact, g.balance) for g in report.groups] == [
        ("channels", 16, True, None)
    ] * 2
    first = {(s.initializer, s.axis): s for s in report.groups[0].slices}
    assert set(first) == {("w1", 0), ("b1", 0), ("w2", 1)}
    assert first["w2", 1].indices == [[i] for i in range(16)]
    assert first["w2", 1].consumed
    assert not first["w1", 0].consumed
    assert report.groups[0].nodes == ["conv1", "conv2"]


def test_totals_add_up(cli: Callable, model: Path) -> None:
    report = AnalysisReport.model_validate(cli("analyze", model, "--json", "-").json)
    for split in (report.totals.params, report.totals.macs):
        assert split.prunable + split.approximate + split.frozen == split.total
    # Only the classifier's bias touches neither group.
    assert report.totals.params.frozen == 4
    assert report.totals.macs.frozen == 0
    # Group by group: w1, b1 and w2; then w2 and w3.
    assert [g.params for g in report.groups] == [432 + 16 + 2304, 2304 + 64]
    held = [e for e in report.frozen if e.params]
    assert [(e.value, e.reason, e.params, e.channels) for e in held] == [
        ("y", "graph output 'y'", 4, 4)
    ]
    assert held[0].parameters == [("b3", 0), ("w3", 1)]


def test_approximate_groups_have_a_reason(cli: Callable, normalised: Path) -> None:
    outcome = cli("analyze", normalised, "--json", "-")
    report = AnalysisReport.model_validate(outcome.json)
    [group] = report.groups
    assert not group.exact
    assert "norm" in group.reason
    assert report.totals.params.prunable == 0
    assert report.totals.params.approximate > 0
    assert "approximate: 1 groups" in cli("analyze", normalised).out


def test_table(cli: Callable, model: Path) -> None:
    lines = cli("analyze", model).out.splitlines()
    assert any(
        line.split()[:3] == ["g0", "channels", "16"] and "w1 +1 -> w2" in line for line in lines
    )
    assert any("graph output" in line and "0.1 %" in line for line in lines)
    assert any("prunable exactly" in line and "99.9 %" in line for line in lines)


def test_nothing_to_prune_is_no_error(cli: Callable, fixed: Path) -> None:
    outcome = cli("analyze", fixed)
    assert outcome.code == 0
    assert "Coupled groups" not in outcome.out
    assert "graph output" in outcome.out


def test_long_tables_are_cut_on_a_terminal(
    cli: Callable, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "rows_on_screen", lambda: 1)
    out = cli("analyze", model).out
    assert "... and 1 smaller groups" in out
    assert "g0" in out
    assert "g1 " not in out


def test_why(cli: Callable, model: Path) -> None:
    lines = cli("analyze", model, "--why", "w2").out.splitlines()
    assert lines[0] == "initializer 'w2'"
    text = "\n".join(" ".join(line.split()) for line in lines)
    assert "0 16 16 group g1, can leave" in text
    assert "1 16 16 group g0, can leave" in text
    assert "2 3 3 frozen: kernel axes stay (node 'conv2' (Conv, opset 17))" in text


@pytest.mark.parametrize(
    ("value", "fragment"),
    [
        ("x", "a graph input keeps its shape"),
        ("y", "frozen: graph output 'y'"),
        ("c1", "no channels run along it: batch, time or space"),
        ("w3", "frozen: graph output 'y'"),
    ],
)
def test_why_something_stays(value: str, fragment: str, cli: Callable, model: Path) -> None:
    assert fragment in cli("analyze", model, "--why", value).out


def test_why_suggests(cli: Callable, model: Path) -> None:
    outcome = cli("analyze", model, "--why", "conv1.w1")
    assert outcome.code == 2
    assert "no value or initializer 'conv1.w1'" in outcome.err
    assert "close to it: w2" in cli("analyze", model, "--why", "W2").err


def test_why_in_json(cli: Callable, model: Path) -> None:
    report = AnalysisReport.model_validate(cli("analyze", model, "--json", "-", "--why", "w2").json)
    assert report.why is not None
    assert [a.groups for a in report.why.axes] == [{"g1": 16}, {"g0": 16}, {}, {}]


def test_graphml(cli: Callable, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "graph.graphml"
    assert cli("analyze", model, "--graph", path).code == 0
    graph = nx.read_graphml(path)
    values = {(d["value"], d["axis"]) for _, d in graph.nodes(data=True)}
    assert {("w1", 0), ("w2", 0), ("w2", 1), ("c1", 1)} <= values
    assert "Conv" in {d["op"] for *_, d in graph.edges(data=True)}


def test_dot(cli: Callable, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "graph.dot"
    assert cli("analyze", model, "--graph", path).code == 0
    text = path.read_text()
    assert text.startswith("graph dependencies {")
    assert '[label="w1 [0]\\ng0", shape=box];' in text


def test_writes_files_whole_or_not_at_all(
    cli: Callable, model: Path, tmp_path: Path, files: Callable
) -> None:
    path = tmp_path / "analysis.json"
    outcome = cli("analyze", model, "--json", path)
    assert outcome.code == 0
    assert "Coupled groups" in outcome.out
    AnalysisReport.model_validate_json(path.read_text())
    assert cli("analyze", model, "--json", model).code == 2
    assert files() == {"model.onnx", "analysis.json"}


HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\n<b>[red]"


def test_hostile_names(cli: Callable, build: Callable, tmp_path: Path) -> None:
    path = build(tmp_path / "hostile.onnx", prefix=HOSTILE)
    graphs = [tmp_path / "g.graphml", tmp_path / "g.dot"]
    outcomes = [
        cli("analyze", path),
        cli("analyze", path, "--why", f"{HOSTILE}w2"),
        cli("analyze", path, "--why", f"{HOSTILE}w9"),
        cli("analyze", path, "--json", "-"),
        *(cli("analyze", path, "--graph", g) for g in graphs),
        cli("prune", path, "-o", tmp_path / "out.onnx", "--ratio", 0.5),
        cli("prune", path, "-o", tmp_path / f"{HOSTILE}/out.onnx", "--ratio", 0.5),
        cli("prune", path, "-o", tmp_path / "o", "--ratio", 0.5, "--criterion", HOSTILE),
        cli("analyze", path, "--why", f"{HOSTILE}w2", "--dims", f"{HOSTILE}=2"),
        cli(HOSTILE),
        cli("analyze", f"{HOSTILE}.onnx"),
    ]
    assert [o.code for o in outcomes] == [0, 0, 2, 0, 0, 0, 0, 2, 2, 2, 2, 2]
    for outcome in outcomes:
        for text in (outcome.out, outcome.err):
            assert not set(text) & set("\x1b\x07\u202e\x9b"), ascii(text)
    assert "\\x1b" in outcomes[0].out
    parsed = json.loads(outcomes[3].out)
    assert parsed["groups"][0]["slices"][0]["initializer"].startswith(HOSTILE)
    nx.read_graphml(graphs[0])

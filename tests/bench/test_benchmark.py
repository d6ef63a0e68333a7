from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from onnxprune.bench import run as subject
from onnxprune.bench.document import BenchReport
from onnxprune.bench.run import benchmark
from onnxprune.bench.table import bench_tables
from onnxprune.cli import main
from onnxprune.cli.bench import bench
from onnxprune.errors import InvalidConfigError, InvalidModelError


def test_two_models_on_providers_that_are_and_are_not_here(write_model, swift):
    paths = [write_model("a.onnx", width=64), write_model("b.onnx", width=8)]
    stages = []
    report = benchmark(
        paths, providers=["cpu", "nnapi"], protocol=swift, batch=2,
        progress=lambda stage, _done, _total: stages.append(stage),
    )  # fmt: skip
    assert report.format == "onnxprune.bench/1"
    assert [Path(run.model).name for run in report.runs] == ["a.onnx", "b.onnx"]
    for run in report.runs:
        assert run.p50_ms <= run.p90_ms <= run.p99_ms
        assert run.placement == {"CPUExecutionProvider": 1.0}
        assert run.share == run.macs_share == 1.0
        assert run.load_ms > 0.0
        assert run.first_run_ms > 0.0
        assert run.operators
        assert run.max_rel_difference is None
    [comparison] = report.comparisons
    assert comparison.ci95[0] <= comparison.ratio <= comparison.ci95[1]
    assert comparison.verdict in ("faster", "not_faster", "inconclusive")
    assert comparison.macs_ratio == pytest.approx(8 / 64)
    assert {pair.node for pair in comparison.operators} >= {"mm1", "mm2"}
    [failure] = report.failures
    assert failure.provider == "nnapi"
    assert not report.conclusive
    assert report.protocol.inputs == {"batch": 2}
    assert "timing b.onnx on cpu" in stages
    again = BenchReport.model_validate(json.loads(report.to_json()))
    assert again == report
    assert bench_tables(report)


def test_one_model_is_compared_with_itself(write_model, swift):
    report = benchmark([write_model()], protocol=swift, pythons={"cpu": Path(sys.executable)})
    assert report.comparisons == []
    [(name, test)] = report.self_tests.items()
    assert name == "cpu, 1 threads"
    assert test.ci99[0] <= test.ratio <= test.ci99[1]
    assert len(report.runs) == 1
    assert bench_tables(report)


def test_emulator_gives_no_latency(write_model, swift, monkeypatch):
    examine = subject._Job._examine

    def emulated(*args):
        found = examine(*args)
        return replace(found, availability=replace(found.availability, emulated="an emulator"))

    monkeypatch.setattr(subject._Job, "_examine", emulated)
    report = benchmark([write_model("a.onnx"), write_model("b.onnx")], protocol=swift)
    assert report.comparisons == []
    assert all(r.p50_ms is r.load_ms is r.first_run_ms is None for r in report.runs)
    assert report.environment.providers[0].emulated == "an emulator"
    assert "no latency" in report.notes[0]
    assert report.conclusive
    assert bench_tables(report)


def test_unknown_option_is_noted(write_model, swift):
    report = benchmark([write_model()], providers=["cpu:colour=red"], protocol=swift)
    assert report.failures or "colour" in report.notes[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"providers": ["tpu"]}, "no execution provider"),
        ({"require_share": 1.5}, "required share"),
        ({"dims": {"q": 2}}, "'q', which no input has"),
        ({"dims": {"batch": 0}}, "size 0"),
    ],
)
def test_mistakes_are_found_first(write_model, swift, options, said):
    with pytest.raises(InvalidConfigError, match=said):
        benchmark([write_model()], protocol=swift, **options)
    with pytest.raises(InvalidConfigError, match="no model"):
        benchmark([], protocol=swift)


def test_models_with_other_inputs_are_refused(write_model, swift):
    with pytest.raises(InvalidModelError, match="takes another input"):
        benchmark([write_model("a.onnx"), write_model("b.onnx", name="z")], protocol=swift)


def test_documented_keys_are_there():
    schema = BenchReport.model_json_schema()
    assert {"environment", "protocol", "runs", "comparisons"} <= schema["properties"].keys()
    run = schema["$defs"]["RunEntry"]["properties"].keys()
    assert {
        "model", "provider", "p50_ms", "p90_ms", "p99_ms", "load_ms", "first_run_ms",
        "peak_rss_bytes", "placement",
    } <= run  # fmt: skip
    comparison = schema["$defs"]["ComparisonEntry"]["properties"].keys()
    assert {"baseline", "candidate", "provider", "ratio", "ci95", "verdict"} <= comparison


@pytest.fixture
def command(monkeypatch, swift):
    """Run `onnxprune bench` with a protocol that takes no time."""
    monkeypatch.setitem(main.COMMANDS, "bench", "onnxprune.cli.bench:bench")
    full = subject.benchmark

    def short(models, *, protocol, **options):
        return full(models, protocol=replace(swift, seed=protocol.seed), **options)

    monkeypatch.setattr(subject, "benchmark", short)
    return lambda *args: main.run(["bench", *map(str, args)])


def test_command_writes_json_and_only_that(command, write_model, capsys):
    path = write_model()
    status = command(path, "--provider", "cpu", "--provider", "nnapi", "--json", "-")
    out, err = capsys.readouterr()
    report = BenchReport.model_validate(json.loads(out))
    assert status == 3
    assert report.failures[0].provider == "nnapi"
    assert "error: provider 'nnapi' is not available" in err


def test_command_writes_a_file_and_tables(command, write_model, tmp_path, capsys):
    paths = [write_model("a.onnx"), write_model("b.onnx")]
    status = command(*paths, "--json", tmp_path / "r.json", "--threads", "1", "--dims", "batch=2")
    assert status in (0, 3)
    report = BenchReport.model_validate_json((tmp_path / "r.json").read_text())
    assert report.protocol.inputs == {"batch": 2}
    out = capsys.readouterr().out
    assert "Compared with the first model" in out
    assert "b.onnx" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing.onnx"],
        [],
        ["model.onnx", "--provider", "tpu"],
        ["model.onnx", "--provider", "cpu:x"],
        ["model.onnx", "--python", "tpu=/x"],
        ["model.onnx", "--python", "/x", "--python", "/y"],
        ["model.onnx", "--dims", "batch"],
        ["model.onnx", "--threads", "-1"],
        ["model.onnx", "--json", "model.onnx"],
    ],
)
def test_bad_usage(command, write_model, monkeypatch, arguments, capsys):
    monkeypatch.chdir(write_model().parent)
    assert command(*arguments) == 2
    assert "error:" in capsys.readouterr().err


def test_command_is_a_command():
    assert bench.name == "bench"

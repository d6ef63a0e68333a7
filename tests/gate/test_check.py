"""The gate: what passes, what fails, what stays open, and that nothing passes by accident."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxprune
from onnxprune.config import Limits
from onnxprune.demo import CALIBRATION
from onnxprune.errors import InternalError, ProviderUnavailableError
from onnxprune.gate.probes import PROBES, footprint, latency
from onnxprune.gate.probes.registry import Probe

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = ("--baseline", "model.onnx")
HALF = "0.5986"  # nearest below it: what 40 % fewer multiply-accumulates leave


def outcomes(result: Any) -> dict[str, str]:
    return {e["name"]: e["outcome"] for e in result.json["checks"]}


def test_every_limit_is_measured_once() -> None:
    names = [name for probe in PROBES for name in probe.limits]
    assert sorted(names) == sorted(Limits.model_fields)


STATIC = [
    ("--max-macs-ratio 0.61", 0, "max-macs-ratio"),
    ("--max-macs-ratio 0.5", 1, "at most 0.5 is allowed"),
    ("--max-params-ratio 0.9", 0, "max-params-ratio"),
    ("--max-params-ratio 0.1", 1, "at most 0.1 is allowed"),
    ("--max-bytes-ratio 0.9", 0, "max-bytes-ratio"),
    ("--max-bytes-ratio 0.1", 1, "at most 0.1 is allowed"),
    ("--max-macs 100000000", 0, "max-macs"),
    ("--max-macs 1000", 1, "at most 1000 is allowed"),
    ("--max-params 1000", 1, "at most 1000 is allowed"),
    ("--max-bytes 10kB", 1, "at most 10000 is allowed"),
    ("--max-bytes 10MiB", 0, "max-bytes"),
    ("--provenance", 0, "provenance"),
    ("--provenance --plan plan.json", 0, "provenance[plan]"),
    ("--plan-sha256 " + "0" * 64, 1, "wanted is " + "0" * 64),
    ("--allow-ops Conv --allow-ops [AR]*", 1, "BatchNormalization"),
    ("--allow-ops *", 0, "allow-ops"),
    ("--allow-opsets 17", 0, "allow-opsets"),
    ("--allow-opsets 16 --allow-opsets 18", 1, "opset 17"),
]


@pytest.mark.parametrize(("line", "code", "fragment"), STATIC, ids=[s[0] for s in STATIC])
def test_static_limits(line: str, code: int, fragment: str, pair: Path, cli: Callable) -> None:
    assert pair
    result = cli("check", "small.onnx", *BASE, "--static", *line.split())
    assert result.code == code, result.out + result.err
    assert fragment in result.out


def test_a_changed_baseline_is_noticed(pair: Path, cli: Callable) -> None:
    model = onnx.load(pair / "model.onnx")
    model.producer_name = "another"
    onnx.save(model, pair / "other.onnx")
    limits = ("--provenance", "--plan", "plan.json", "--verified", "--format", "json")
    result = cli("check", "small.onnx", "--baseline", "other.onnx", *limits)
    assert result.code == 1
    assert outcomes(result) == {
        "provenance": "fail", "provenance[plan]": "pass", "verified": "fail",
    }  # fmt: skip
    provenance, _, verified = result.json["checks"]
    assert provenance["limit"] in provenance["message"]
    assert provenance["value"] in provenance["message"]
    assert "made for a model with SHA-256" in verified["message"]


@pytest.mark.parametrize(("values", "seen"), [((), "nothing"), (("a", "b"), "2 values")])
def test_provenance_is_said_once(
    values: tuple[str, ...], seen: str, pair: Path, cli: Callable
) -> None:
    model = onnx.load(pair / "small.onnx")
    del model.metadata_props[:]
    for value in values:
        model.metadata_props.add(key="onnxprune.source_sha256", value=value)
    onnx.save(model, pair / "bare.onnx")
    result = cli("check", "bare.onnx", *BASE, "--provenance")
    assert result.code == 1
    assert f"{seen} is said in metadata onnxprune.source_sha256" in result.out


def test_proof(pair: Path, cli: Callable) -> None:
    proof = (*BASE, "--verified", "--format", "json")
    for plan in ((), ("--plan", "plan.json")):
        result = cli("check", "small.onnx", *proof, *plan)
        assert (result.code, result.json["checks"][0]["value"]) == (0, "exact")
    model = onnx.load(pair / "small.onnx")
    tensor = next(t for t in model.graph.initializer if len(t.dims) == 4)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 1.0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, pair / "wrong.onnx")
    given = cli("check", "wrong.onnx", *proof, "--plan", "plan.json")
    assert (given.code, given.json["checks"][0]["value"]) == (1, "different")
    read_off = cli("check", "wrong.onnx", *proof)
    assert (read_off.code, read_off.json["checks"][0]["value"]) == (1, "not proven")
    assert "--plan" in read_off.json["checks"][0]["hint"]


FIDELITY = ("--max-relative-error", "--max-kl", "--min-agreement", "--min-cosine")


@pytest.mark.parametrize(
    ("limits", "outcome", "code"),
    [((9, 9, 0, -1), "pass", 0), ((1e-6, 1e-9, 1, 1), "fail", 1)],
)
def test_fidelity(
    limits: tuple[float, ...], outcome: str, code: int, pair: Path, cli: Callable
) -> None:
    assert pair
    line = [str(part) for given in zip(FIDELITY, limits, strict=True) for part in given]
    data = ("--test-data", CALIBRATION, "--samples", 64, "--format", "json")
    result = cli("check", "small.onnx", *BASE, *line, *data)
    assert result.code == code
    assert set(outcomes(result).values()) == {outcome}
    agreement = next(e for e in result.json["checks"] if e["name"] == "min-agreement")
    assert agreement["ci95"][0] <= agreement["value"] <= agreement["ci95"][1]


def test_values_that_are_no_numbers_fail(pair: Path, cli: Callable) -> None:
    model = onnx.load(pair / "model.onnx")
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 1:
            values = np.full(tensor.dims, np.nan, np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, pair / "nan.onnx")
    line = [str(part) for limit in zip(FIDELITY, (9, 9, 0.1, -1), strict=True) for part in limit]
    data = ("--test-data", CALIBRATION, "--samples", 8, "--format", "json")
    result = cli("check", "nan.onnx", *BASE, *line, *data)
    assert result.code == 1
    assert set(outcomes(result).values()) == {"fail"}


METRIC = """
import numpy as np
FEED = {"image": np.zeros((1, 1, 8, 8), np.float32)}
calls = __file__ + ".calls"
def logit(run): return float(run(FEED)["logits"][0, 0])
def falling(run):
    open(calls, "a").write("x")
    return -len(open(calls).read())
def picky(run):
    if falling(run) < -1: raise ValueError("no")
    return 1.0
def broken(run): raise ValueError("never")
def nothing(run): return float("nan")
def chatty(run):
    print("hello")
    return 1
"""


@pytest.mark.parametrize(
    ("line", "code", "fragment"),
    [
        ("--metric own:logit --min-metric -1000", 0, "min-metric"),
        ("--metric own:falling --max-metric-drop 0.5", 1, "at most 0.5 is allowed"),
        ("--metric own:chatty --max-metric-drop 0", 0, "max-metric-drop"),
        ("--metric own:picky --max-metric-drop 0", 1, "ValueError: no"),
        ("--metric own:broken --max-metric-drop 0", 2, "ValueError: never"),
        ("--metric own:nothing --min-metric 0", 2, "wanted is a finite number"),
        ("--metric own:absent --min-metric 0", 2, "absent"),
        ("--metric absent:f --min-metric 0", 2, "absent"),
        ("--min-metric 0", 2, "--metric module:function"),
    ],
)
def test_metric(line: str, code: int, fragment: str, pair: Path, cli: Callable) -> None:
    (pair / "own.py").write_text(METRIC)
    result = cli("check", "small.onnx", *BASE, *line.split())
    assert result.code == code, result.out + result.err
    assert fragment in result.out + result.err
    assert "hello" not in result.out


def test_footprint(pair: Path, cli: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pair
    monkeypatch.setattr(footprint, "_ROUNDS", 2)
    limits = ("--max-memory", "100GB", "--max-load-ratio", "1e6", "--max-memory-ratio", "1e6")
    result = cli("check", "small.onnx", *BASE, *limits, "--format", "json")
    assert result.code == 0, result.out
    assert outcomes(result) == {
        "max-load-ratio[cpu]": "pass", "max-memory-ratio[cpu]": "pass", "max-memory[cpu]": "pass",
    }  # fmt: skip
    small = cli("check", "small.onnx", *BASE, "--max-memory", "1MB")
    assert small.code == 1
    assert "at most 1000000 is allowed" in small.out


def timed(*results: tuple[float, float, float, bool, bool]) -> Any:
    """Stand in for the benchmark: (ratio, low, high, self-test, all rebuilds) for each attempt."""
    calls: list[Any] = []

    def benchmark(_models: Any, *, protocol: Any, **_options: Any) -> Any:
        ratio, low, high, trusted, complete = results[min(len(calls), len(results) - 1)]
        calls.append(protocol)
        found = SimpleNamespace(
            ratio=ratio, ci95=(low, high), self_test=SimpleNamespace(passed=trusted),
            rebuilds=protocol.rebuilds if complete else 2,
        )  # fmt: skip
        return SimpleNamespace(comparisons=[found], failures=[], notes=[], runs=[])

    return benchmark, calls


SURE = (0.5, 0.4, 0.6, True, True)
OPEN = (0.9, 0.7, 1.1, True, True)


@pytest.mark.parametrize(
    ("results", "outcome", "attempts"),
    [
        ([SURE], "pass", 1),
        ([(0.8, 0.7, 0.9, True, True)], "pass", 1),
        ([(0.8, 0.7, 0.9001, True, True)], "inconclusive", 3),
        ([(1.0, 0.9001, 1.1, True, True)], "fail", 1),
        ([OPEN], "inconclusive", 3),
        ([OPEN, SURE], "pass", 2),
        ([OPEN, OPEN, (2.0, 1.9, 2.1, True, True)], "fail", 3),
        ([(0.5, 0.4, 0.6, False, True)], "inconclusive", 3),
        ([(0.5, 0.4, 0.6, True, False)], "inconclusive", 3),
        ([(2.0, 1.9, 2.1, False, True)], "inconclusive", 3),
        ([(float("nan"), float("nan"), float("nan"), True, True)], "inconclusive", 3),
    ],
)
def test_latency_is_decided_by_the_interval(
    results: list[Any], outcome: str, attempts: int, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pair
    benchmark, calls = timed(*results)
    monkeypatch.setattr(latency, "benchmark", benchmark)
    monkeypatch.setattr("onnxprune.gate.run.CheckReport", SimpleNamespace)
    report: Any = onnxprune.check("small.onnx", baseline="model.onnx", max_latency_ratio=0.9)
    [entry] = report.checks
    assert entry.outcome == outcome
    assert report.status == {"pass": 0, "fail": 1, "inconclusive": 3}[outcome]
    assert len(calls) == attempts
    budgets = [protocol.time_budget_s for protocol in calls]
    assert budgets == [30.0 * 2**n for n in range(attempts)]
    assert len({protocol.seed for protocol in calls}) == attempts
    assert "at most 0.9 is allowed" in entry.message


@pytest.mark.parametrize(
    ("asked", "status", "passed"), [(None, 3, False), ("pass", 0, True), ("fail", 1, False)]
)
def test_on_inconclusive(
    asked: str | None, status: int, passed: bool, pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pair
    monkeypatch.setattr(latency, "benchmark", timed(OPEN)[0])
    monkeypatch.setattr("onnxprune.gate.run.CheckReport", SimpleNamespace)
    report: Any = onnxprune.check(
        "small.onnx", baseline="model.onnx", max_latency_ratio=0.9, on_inconclusive=asked
    )
    assert (report.status, report.passed) == (status, passed)


@pytest.mark.parametrize("asked", [None, "pass"])
def test_a_missing_provider_never_passes(asked: str | None, pair: Path, cli: Callable) -> None:
    assert pair
    more = () if asked is None else ("--on-inconclusive", asked)
    limits = ("--max-latency-ratio", "cuda=0.9", "--min-provider-share", "cuda=1")
    result = cli("check", "small.onnx", *BASE, *limits, *more, "--format", "json")
    assert result.code == 3
    assert not result.json["passed"]
    for entry in result.json["checks"]:
        assert (entry["outcome"], entry["value"]) == ("inconclusive", None)
        assert "'cuda' is not available" in entry["message"]


def test_share(pair: Path, cli: Callable) -> None:
    assert pair
    assert cli("check", "small.onnx", *BASE, "--min-provider-share", 1).code == 0


def test_what_cannot_run_never_passes(pair: Path, cli: Callable) -> None:
    model = onnx.load(pair / "small.onnx")
    next(n for n in model.graph.node if n.op_type == "Sigmoid").op_type = "Frobnicate"
    onnx.save(model, pair / "stuck.onnx")
    limits = ("--max-latency-ratio", 9, "--max-load-ratio", 9, "--on-inconclusive", "pass")
    result = cli("check", "stuck.onnx", *BASE, *limits, "--format", "json")
    assert result.code == 3
    assert set(outcomes(result).values()) == {"inconclusive"}


NOTHING = [
    ("check small.onnx", "there is no limit to check"),
    ("check small.onnx --baseline model.onnx", "there is no limit to check"),
    ("check small.onnx --baseline model.onnx --static --verified", "static leaves it out"),
    ("check small.onnx --max-macs-ratio 0.9", "there is no baseline"),
    ("check absent.onnx --max-bytes 1", "absent.onnx"),
    ("check small.onnx --baseline absent.onnx --max-bytes 1GB", "absent.onnx"),
    ("check small.onnx --max-macs-ratio half", "'max-macs-ratio' is 'half'"),
    ("check small.onnx --max-bytes 10XB", "max-bytes is '10XB'"),
    ("check small.onnx --baseline model.onnx --max-kl 1", "--test-data"),
    ("check small.onnx --baseline model.onnx --verified --plan absent.json", "absent.json"),
    ("check small.onnx --max-bytes 1GB --config absent.toml", "absent.toml"),
    ("check small.onnx --max-bytes 1GB --format json --format junit", "-o DIR"),
    ("check small.onnx --max-bytes 1GB -o out", "--format"),
    ("check small.onnx --max-bytes 1GB --format json -o small.onnx", "cannot be made"),
    ("check small.onnx --max-bytes 1GB --format json -o /proc/none", "cannot be made"),
    ("check . --max-bytes 1GB", "is a directory"),
    ("check small.onnx --max-bytes 1GB --format magic", "'magic' is not one of"),
    ("check small.onnx --max-latency-ratio 1 --max-latency-ratio 2", "one number for all"),
    ("check small.onnx --max-latency-ratio magic=2 --baseline model.onnx", "magic"),
]


@pytest.mark.parametrize(("line", "fragment"), NOTHING, ids=[line for line, _ in NOTHING])
def test_nothing_passes_by_accident(line: str, fragment: str, pair: Path, cli: Callable) -> None:
    before = {path.name for path in pair.iterdir()}
    result = cli(*line.split())
    assert result.code == 2, result.out
    assert fragment in result.err
    assert result.err.startswith("error: ")
    assert not result.out
    assert {path.name for path in pair.iterdir()} == before


def test_a_limit_that_nobody_looked_at_is_a_defect(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pair
    idle = [Probe(p.limits, p.static, lambda _job: []) for p in PROBES]
    monkeypatch.setattr("onnxprune.gate.run.PROBES", idle)
    with pytest.raises(InternalError, match="max-bytes was given and not checked"):
        onnxprune.check("small.onnx", max_bytes=10)


def test_a_limit_of_zero_is_one(pair: Path, cli: Callable) -> None:
    (pair / "own.py").write_text("def f(run): return -1.0")
    result = cli("check", "small.onnx", *BASE, "--metric", "own:f", "--min-metric", 0)
    assert result.code == 1


def test_a_crash_of_one_measurement_leaves_the_others(
    pair: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pair

    def fail(*_args: Any, **_options: Any) -> None:
        message = "gone"
        raise ProviderUnavailableError(message, hint="come back")

    monkeypatch.setattr(latency, "benchmark", fail)
    report = onnxprune.check(
        "small.onnx", baseline="model.onnx", max_latency_ratio=2, max_macs_ratio=0.9
    )
    assert [e.outcome for e in report.checks] == ["pass", "inconclusive"]
    assert report.checks[1].hint == "come back"
    assert report.status == 3


def test_configuration_and_flags(pair: Path, cli: Callable) -> None:
    (pair / "pyproject.toml").write_text(
        "[tool.onnxprune.check]\nbaseline = 'model.onnx'\nmax-macs-ratio = 0.9\nprovenance = true\n"
    )
    result = cli("check", "small.onnx", "--format", "json")
    assert result.code == 0
    assert result.json["config"] == "pyproject.toml"
    assert [e["limit"] for e in result.json["checks"]][1:] == [0.9]
    stricter = cli("check", "small.onnx", "--max-macs-ratio", 0.1)
    assert stricter.code == 1


def test_several_formats_and_the_table(pair: Path, cli: Callable) -> None:
    formats = [part for n in ("json", "junit", "gitlab", "markdown") for part in ("--format", n)]
    result = cli("check", "small.onnx", "--max-bytes", "1GB", *formats, "-o", "out/deep")
    assert result.code == 0
    assert "passed: 1 pass" in result.out
    assert {p.name for p in (pair / "out/deep").iterdir()} == {
        "onnxprune-check.json", "onnxprune-check.junit.xml", "gl-code-quality-report.json",
        "onnxprune-check.md",
    }  # fmt: skip


def test_the_report_is_not_written_over_a_model(pair: Path, cli: Callable) -> None:
    (pair / "out").mkdir()
    (pair / "out/onnxprune-check.json").symlink_to(pair / "model.onnx")
    result = cli("check", "small.onnx", "--max-bytes", "1GB", "--format", "json", "-o", "out")
    assert result.code == 2
    assert "symbolic link" in result.err


def test_names_that_are_no_text(pair: Path, cli: Callable) -> None:
    name = b"sm\xffall.onnx".decode("utf-8", "surrogateescape")
    (pair / name).write_bytes((pair / "small.onnx").read_bytes())
    for form in ("json", "junit", "sarif", "markdown", "github", "gitlab"):
        result = cli("check", name, "--max-bytes", 1000, "--format", form)
        assert result.code == 1, result.err
        result.out.encode()

"""A target on latency: rounds of predicting, pruning and measuring on a machine that is made up."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from onnxprune import pipeline
from onnxprune.analysis import analyze_model
from onnxprune.bench.document import SelfTestEntry
from onnxprune.core.plan import PrunePlan
from onnxprune.costs.align import Alignment
from onnxprune.costs.network import layers_of, price_network
from onnxprune.costs.table import CostTable
from onnxprune.demo import MODEL
from onnxprune.errors import InvalidConfigError, ProviderUnavailableError, TargetError
from onnxprune.pipeline import latency
from onnxprune.report.models import PruneReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Machine:
    """What the pruned model takes: a share that stays, and one that goes with parameters."""

    fixed: float = 0.0
    spread: float = 0.01
    trusted: bool = True
    measured: list[float] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)

    def benchmark(self, models: Sequence[Path], **options) -> SimpleNamespace:
        before, after = (
            sum(np.prod(t.dims) for t in onnx.load(m).graph.initializer) for m in models
        )
        ratio = float(self.fixed + (1 - self.fixed) * after / before)
        self.measured.append(ratio)
        self.budgets.append(options["protocol"].time_budget_s)
        test = SelfTestEntry(ratio=1.0, ci99=(0.9, 1.1), passed=self.trusted, attempts=1)
        ends = (ratio * (1 - self.spread), ratio * (1 + self.spread))
        entry = SimpleNamespace(ratio=ratio, ci95=ends, self_test=test)
        return SimpleNamespace(failures=[], comparisons=[entry])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()

    def price(analysis, _spec, **_options) -> latency.Pricing:
        network = price_network(
            analysis.deps.graph, analysis.deps.settings[0],
            CostTable(measure=lambda items: [float(i.macs) for i in items]), None,
        )  # fmt: skip
        steps = dict.fromkeys(layers_of(analysis.deps.graph, analysis.deps.settings[0]), 2)
        alignment = Alignment(2, "made up", steps)
        profile = SimpleNamespace(subject=SimpleNamespace(dims={}))
        return latency.Pricing(network, None, profile, alignment)

    monkeypatch.setattr(latency, "price", price)
    monkeypatch.setattr(latency, "benchmark", made.benchmark)
    return made


@pytest.mark.parametrize("fixed", [0.0, 0.2, 0.4])
@pytest.mark.parametrize("wanted", [0.9, 0.7])
def test_the_measured_interval_ends_below_what_was_asked(
    machine: Machine, fixed: float, wanted: float, tmp_path: Path
) -> None:
    machine.fixed = fixed
    out, text = tmp_path / "out.onnx", tmp_path / "report.json"
    plan = tmp_path / "plan.json"
    report = pipeline.prune(
        MODEL, out, max_latency_ratio=wanted, report=text, plan_out=plan, verify=False
    )
    assert PruneReport.model_validate_json(text.read_text()) == report
    found = report.latency
    assert found is not None
    assert found.requested == wanted
    assert wanted * 0.85 < found.ci95[1] <= wanted
    assert found.predicted == pytest.approx(found.ratio, rel=0.1)
    assert (found.align, found.align_source) == (2, "made up")
    assert len(found.iterations) == len(machine.measured) <= 8
    assert report.requested == {"max_latency_ratio": wanted}
    # The plan that was reported makes the file again.
    kept = PrunePlan.model_validate_json(plan.read_text())
    assert (kept.settings["amount"], kept.settings["provider"]) == (wanted, "cpu")
    again = pipeline.apply(MODEL, kept, tmp_path / "again.onnx", verify=False)
    assert (tmp_path / "again.onnx").read_bytes() == out.read_bytes()
    assert again.requested == {"max_latency_ratio": wanted}


def test_out_of_reach_says_what_the_best_was(machine: Machine, tmp_path: Path) -> None:
    machine.fixed = 0.6
    with pytest.raises(TargetError, match=r"0\.3 is out of reach on cpu .* measured 0\.6"):
        pipeline.prune(MODEL, tmp_path / "out.onnx", max_latency_ratio=0.3)
    assert machine.measured
    assert not (tmp_path / "out.onnx").exists()


def test_a_wide_interval_gets_more_time(machine: Machine, tmp_path: Path) -> None:
    machine.spread = 0.1
    report = pipeline.prune(MODEL, tmp_path / "out.onnx", max_latency_ratio=0.6, verify=False)
    assert report.latency is not None
    assert report.latency.ci95[1] <= 0.6
    assert machine.budgets == sorted(machine.budgets)
    machine.trusted = False
    with pytest.raises(TargetError, match="too uneven"):
        pipeline.prune(MODEL, tmp_path / "other.onnx", max_latency_ratio=0.6)
    assert machine.budgets[-1] > machine.budgets[0]


def test_a_given_alignment_is_kept(machine: Machine, tmp_path: Path) -> None:
    report = pipeline.prune(
        MODEL, tmp_path / "out.onnx", max_latency_ratio=0.6, align=4, verify=False
    )
    assert report.latency is not None
    assert (report.latency.align, report.latency.align_source) == (4, "")
    plan = pipeline.plan(MODEL, max_latency_ratio=0.6, align=4)
    assert plan.settings["align"] == 4
    assert len(machine.measured) >= 2


def test_a_failure_of_the_provider_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failure = SimpleNamespace(error="it does not take the model", hint="another one does")
    broken = SimpleNamespace(failures=[failure], comparisons=[])
    nothing = SimpleNamespace(failures=[], comparisons=[])
    for answer, said in ((broken, "does not take the model"), (nothing, "emulator")):
        monkeypatch.setattr(latency, "benchmark", lambda *_a, _answer=answer, **_o: _answer)
        with pytest.raises(ProviderUnavailableError, match=said):
            pipeline.prune(MODEL, tmp_path / "out.onnx", max_latency_ratio=0.6)
    assert not machine.measured


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_latency_ratio": 1.0}, "max_latency_ratio is 1.0"),
        ({"max_latency_ratio": 0.7, "remove_macs": 0.3}, "wanted is one target"),
        ({"max_latency_ratio": 0.7, "provider": "tpu"}, "no execution provider 'tpu'"),
        ({"max_latency_ratio": 0.7, "threads": -1}, "threads is -1"),
    ],
)
def test_mistakes(options: dict[str, object], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=said):
        pipeline.prune(MODEL, tmp_path / "out.onnx", **options)


def test_a_provider_that_is_not_here(tmp_path: Path) -> None:
    with pytest.raises(ProviderUnavailableError, match="nnapi"):
        pipeline.prune(MODEL, tmp_path / "out.onnx", max_latency_ratio=0.7, provider="nnapi")


@pytest.mark.slow
def test_on_this_machine(tmp_path: Path) -> None:
    report = pipeline.prune(MODEL, tmp_path / "out.onnx", max_latency_ratio=0.9)
    assert report.latency is not None
    assert report.verified is not None
    assert report.verified.exact
    assert report.latency.ci95[1] <= 0.9


@pytest.mark.slow
def test_pricing_a_network_on_this_machine() -> None:
    analysis = analyze_model(MODEL)
    from onnxprune.providers import parse_spec  # noqa: PLC0415

    priced = latency.price(analysis, parse_spec("cpu"))
    assert priced.network.total_us > 0
    assert priced.alignment.step >= 1
    assert "measured on cpu" in priced.alignment.source

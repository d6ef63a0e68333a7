"""What `--coupling auto` decides, with and without samples."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np
import pytest

import onnxprune
from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.costs import DefaultCosts
from onnxprune.errors import NothingToPruneError
from onnxprune.pipeline.couplings import least_drop
from onnxprune.planning import segments
from onnxprune.planning.segments import choose_forks

if TYPE_CHECKING:
    from pathlib import Path

RATIO = Target("ratio", 0.5)


def test_consumers_are_free_where_time_costs_nothing(residual_net: Path) -> None:
    analysis = expand(analyze_model(residual_net))
    free = dict.fromkeys((f.name for f in fields(DefaultCosts) if f.name.endswith("per_us")), 1e20)
    assert choose_forks(analysis, RATIO, costs=DefaultCosts(**free, call_us=1.0, block=1, unit=1))


def test_they_are_tied_where_copies_are_dear(residual_net: Path) -> None:
    analysis = expand(analyze_model(residual_net))
    assert not choose_forks(
        analysis, RATIO, costs=DefaultCosts(copied_per_us=1e-6, block=1, unit=1)
    )


@pytest.mark.parametrize("step", [1, 8])
def test_what_is_free_is_worth_its_time_and_keeps_to_that_of_the_faster(
    net: Path, step: int
) -> None:
    free = expand(analyze_model(net))
    target = Target("params", 0.4)
    forks = set(choose_forks(free, target, step=step))
    everything = segments.find_segments(free)
    trial = segments.Trial(free, DefaultCosts(), target, step=step)
    base, whole = trial.of([]), trial.of(everything)
    chosen = trial.of([s for s in everything if forks.issuperset(s.values)])
    limit = min(base.time, whole.time) * (1 + segments.CLEARLY)
    assert chosen.time <= limit * (1 + 1e-3)
    rate = trial.rate(base)
    assert base.time > limit or chosen.worth(rate) <= base.worth(rate) * (1 + 1e-3)


@pytest.mark.parametrize("coupling", ["auto", "unconstrained"])
def test_every_coupling_writes_an_exact_file(
    net: Path, tmp_path: Path, coupling: onnxprune.planning.options.Coupling
) -> None:
    report = onnxprune.prune(net, tmp_path / "out.onnx", remove_macs=0.4, coupling=coupling)
    assert report.verified is not None
    assert report.verified.exact


def test_the_draft_that_loses_least_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drops = {"first": 0.10, "alike": 0.099, "better": 0.05}
    monkeypatch.setattr(
        "onnxprune.pipeline.couplings.measure_drop", lambda made, *_, **__: drops[made]
    )

    def best(*names: str) -> object:
        def draft(name: object) -> object:
            if name == "nothing":
                raise NothingToPruneError("nothing")
            return name

        return least_drop(names, draft, None, beside=tmp_path, stages=None)  # type: ignore[arg-type]

    assert best("first", "alike") == "first"
    assert best("first", "better") == "better"
    assert best("nothing", "first") == "first"
    with pytest.raises(NothingToPruneError):
        best("nothing", "nothing")


@pytest.mark.parametrize(
    ("times", "taken"),
    [({"tied": 1.0, "free": 1.02}, "free"), ({"tied": 1.0, "free": 1.2}, "tied"),
     ({"tied": 1.2, "free": 1.0}, "free")],
)  # fmt: skip
def test_time_comes_first_and_then_what_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: dict[str, float], taken: str
) -> None:
    drops = {"tied": 0.10, "free": 0.05}
    monkeypatch.setattr(
        "onnxprune.pipeline.couplings.measure_drop", lambda made, *_, **__: drops[made]
    )
    found = least_drop(
        list(times), lambda name: name, None, beside=tmp_path, stages=None, time=times.get,
    )  # type: ignore[arg-type]  # fmt: skip
    assert found == taken


def test_with_samples_both_are_tried(residual_net: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(24)]
    report = onnxprune.prune(
        residual_net, tmp_path / "out.onnx", remove_macs=0.4, coupling="auto", calibration=feeds
    )
    assert report.verified is not None
    assert report.verified.exact

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onnxprune.bench import timing as subject
from onnxprune.bench.footprint import measure_footprint
from onnxprune.bench.pair import compare_pair, self_test, time_pair
from onnxprune.bench.protocol import Protocol, choose_clock, summarize
from onnxprune.bench.timing import Build, Timing, log_ratios, time_models
from onnxprune.bench.workload import make_recipe, read_subject
from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers import find_provider, parse_spec

CPU = parse_spec("cpu")


@pytest.mark.parametrize(
    ("provider", "options", "run_ms", "clock"),
    [
        ("cpu", {}, 10.0, "cpu"),
        ("cpu", {}, 0.5, "wall"),
        ("cpu", {"threads": 2}, 10.0, "wall"),
        ("cpu", {"threads": 0}, 10.0, "wall"),
        ("cpu", {"spinning": True}, 10.0, "wall"),
        ("cpu", {"clock": "cpu"}, 0.5, "cpu"),
        ("cpu", {"clock": "wall"}, 10.0, "wall"),
        ("cuda", {}, 10.0, "wall"),
        ("openvino", {}, 10.0, "cpu"),
    ],
)
def test_clock_fits_model_and_provider(provider, options, run_ms, clock):
    chosen = choose_clock(find_provider(provider), Protocol(**options), run_ns=run_ms * 1e6)
    assert chosen == clock


def test_statistics_leave_out_what_others_disturb():
    times = np.array([1.0, 1.0, 1.0, 1.0, 50.0])
    assert summarize(times, "cpu") == 1.0
    assert summarize(times, "wall") == 1.0


def _timing(ratios, *, noise=0.0, attempts=1, self_ratio=1.0):
    builds = []
    for number in range(8):
        drift = 1.0 + noise * (-1) ** number
        base = np.full(4, 100.0 * drift)
        models = [base, base * self_ratio * (1.0 + 0.001 * (-1) ** number)]
        models += [base * ratio for ratio in ratios]
        builds.append(Build(tuple(models), tuple(models)))
    return Timing("wall", 4, 1, builds, "done", 1.0, attempts)


def test_log_ratios_are_relative_to_the_baselines_mean():
    timing = _timing([0.5], noise=0.3)
    logs = log_ratios(timing, 2, [0, 1])
    assert np.allclose(logs, math.log(0.5), atol=1e-3)  # drift that hits all is gone


def test_pair_is_judged():
    interval, verdict, _ = compare_pair(_timing([0.5]), least=8)
    assert verdict == "faster"
    assert interval.ratio == pytest.approx(0.5, rel=1e-3)


def test_self_test_forbids_a_verdict():
    timing = _timing([0.5], self_ratio=1.1)
    assert not self_test(timing).passed
    assert compare_pair(timing, least=8)[1:] == ("inconclusive", compare_pair(timing, least=8)[2])
    assert "uneven" in compare_pair(timing, least=8)[2]


@pytest.mark.parametrize(("failing", "attempts"), [(0, 1), (1, 2), (5, 2)])
def test_failed_self_test_is_given_one_more_chance(failing, attempts):
    seeds = []

    def call(protocol, models):
        assert models == ["a", "a", "b"]
        seeds.append(protocol.seed)
        return _timing([0.5], self_ratio=1.1 if len(seeds) <= failing else 1.0)

    found = time_pair("a", "b", protocol=Protocol(), call=call)
    assert found.attempts == attempts
    assert seeds == list(range(attempts))


def test_models_run_equally_often(write_model, swift):
    paths = [str(write_model("a.onnx")), str(write_model("b.onnx", width=4))]
    recipe = make_recipe([read_subject(paths[0], dims={}, batch=None)], seed=0)
    seen = []
    found = time_models(
        [paths[0], *paths], CPU, recipe, swift, progress=lambda done, _: seen.append(done)
    )
    assert seen == [1, 2, 3]
    assert len(found.builds) == 3
    assert "all 3 rebuilds" in found.stopped
    shapes = {times.shape for build in found.builds for times in (*build.wall_ns, *build.cpu_ns)}
    assert shapes == {(found.pairs * found.runs,)}
    assert all((times > 0).all() for build in found.builds for times in build.wall_ns)


def test_time_budget_ends_it_after_two_builds(write_model, swift):
    path = str(write_model())
    recipe = make_recipe([read_subject(path, dims={}, batch=None)], seed=0)
    found = time_models([path, path], CPU, recipe, replace(swift, time_budget_s=1e-6))
    assert len(found.builds) == 2
    assert "used up" in found.stopped


@pytest.mark.parametrize(
    ("done", "spread", "seconds", "stopped"),
    [
        (7, 0.0, 1.0, False),
        (8, 0.001, 1.0, True),
        (8, 0.5, 1.0, False),
        (9, 0.001, 1.0, False),
        (12, 0.001, 1.0, True),
        (12, 0.5, 29.9, True),
        (32, 0.5, 1.0, True),
    ],
)
def test_intervals_are_looked_at_seldom(done, spread, seconds, stopped):
    builds = []
    for number in range(done):
        times = [np.full(2, 1.0 + spread * (number % 2) * place) for place in range(3)]
        builds.append(Build(tuple(times), tuple(times)))
    timing = Timing("wall", 2, 1, builds, "", seconds)
    assert bool(subject._reason_to_stop(timing, Protocol())) is stopped


def test_blocks_get_fewer_when_time_runs_short():
    timing = Timing("cpu", 1, 6)
    protocol = Protocol(time_budget_s=30.0)
    assert subject._pairs(timing, protocol, 0.01, 0.1) == 6
    assert subject._pairs(timing, protocol, 0.3, 0.1) < 6
    assert subject._pairs(timing, protocol, 30.0, 0.1) == 2


def test_timing_on_a_missing_provider_is_refused(write_model, swift):
    path = str(write_model())
    recipe = make_recipe([read_subject(path, dims={}, batch=None)], seed=0)
    with pytest.raises(ProviderUnavailableError):
        time_models([path, path], parse_spec("nnapi"), recipe, swift)


def test_footprint(write_model):
    path = str(write_model())
    recipe = make_recipe([read_subject(path, dims={}, batch=None)], seed=0)
    found = measure_footprint(path, CPU, recipe, threads=1)
    assert found.load_ms > 0.0
    assert found.first_run_ms > 0.0
    assert found.peak_rss_bytes is None or found.peak_rss_bytes >= (found.base_rss_bytes or 0)

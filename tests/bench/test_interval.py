from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from onnxprune.bench.interval import (
    MARGIN,
    cautious_interval,
    judge,
    ratio_interval,
    t_quantile,
)


@pytest.mark.parametrize("freedom", [5, 7, 11, 15, 31, 100])
@pytest.mark.parametrize("probability", [0.025, 0.975, 0.995, 0.999])
def test_quantiles_are_those_of_t(probability, freedom):
    wanted = stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(wanted, rel=5e-3)


def test_interval_covers_the_truth_as_often_as_it_says():
    generator = np.random.default_rng(0)
    trials = generator.normal(math.log(0.8), 0.05, (2000, 8))
    covered = np.mean([ratio_interval(list(logs)).contains(0.8) for logs in trials])
    assert 0.935 < covered < 0.965


def test_cautious_interval_is_wider():
    logs = [-0.70, -0.69, -0.68, -0.69]
    wide, plain = cautious_interval(logs), ratio_interval(logs)
    assert wide.low < plain.low < plain.high < wide.high
    assert wide.half_width > plain.half_width


def test_interval_takes_two():
    with pytest.raises(ValueError, match="no interval"):
        ratio_interval([0.0])


def _logs(ratio, spread, count=8):
    steps = np.linspace(-1.0, 1.0, count)
    return list(math.log(ratio) + spread * steps)


@pytest.mark.parametrize(
    ("ratio", "spread", "verdict"),
    [
        (0.5, 0.01, "faster"),
        (0.5, 0.2, "faster"),
        (0.97, 0.01, "faster"),
        (0.97, 0.1, "inconclusive"),
        (1.0, 0.01, "not_faster"),
        (1.0, 0.1, "inconclusive"),
        (1.5, 0.1, "not_faster"),
        (0.999, 1e-6, "faster"),
        (0.985, 0.02, "inconclusive"),
    ],
)
def test_verdicts(ratio, spread, verdict):
    found, reason = judge(_logs(ratio, spread), least=8)
    assert found == verdict, reason
    assert reason


def test_nothing_is_said_after_too_few_rebuilds_or_in_trouble():
    assert judge(_logs(0.5, 0.01, 7), least=8)[0] == "inconclusive"
    assert judge(_logs(0.5, 0.01), least=8, trouble="uneven") == ("inconclusive", "uneven")


def test_faster_must_beat_what_identical_models_show():
    assert judge(_logs(0.99, 0.001), least=8)[0] == "faster"
    assert judge(_logs(0.99, 0.001), least=8, floor=0.98)[0] == "not_faster"
    assert judge(_logs(0.5, 0.001), least=8, floor=0.98)[0] == "faster"


def test_wrong_faster_is_one_in_a_thousand():
    generator = np.random.default_rng(1)
    trials = generator.normal(0.0, 0.02, (4000, 8))
    verdicts = [judge(list(logs), least=8)[0] for logs in trials]
    assert verdicts.count("faster") < 12
    assert 0.0 < MARGIN < 0.1

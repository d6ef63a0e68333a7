"""What counts as equal: small outputs are no excuse."""

from __future__ import annotations

import pytest

from onnxprune.runtime.compare import Comparison, LevelComparison
from onnxprune.runtime.difference import OutputDifference
from onnxprune.verification.equivalence import judge


def comparison(rel: float, scale: float, noise: float = 0.0) -> Comparison:
    def measured(amount: float) -> OutputDifference:
        return OutputDifference(
            "y", max_abs=amount * scale, max_rel=amount, scale=scale, elements=9
        )

    return Comparison((LevelComparison(True, (measured(rel),)),), (measured(noise),), 1)


@pytest.mark.parametrize("scale", [1e-12, 1e-6, 1.0, 1e6])
def test_a_difference_counts_whatever_the_size_of_the_output(scale: float) -> None:
    assert judge(comparison(1e-5, scale)).exact
    assert not judge(comparison(1e-2, scale)).exact


def test_a_saturated_output_is_compared_absolutely() -> None:
    assert judge(comparison(0.3, 1e-8), saturated={"y"}).exact
    assert not judge(comparison(0.3, 1.0), saturated={"y"}).exact


def test_noise_of_the_original_excuses_little() -> None:
    assert judge(comparison(1e-3, 1.0, noise=1e-4)).exact
    assert not judge(comparison(0.1, 1.0, noise=0.1)).exact

"""What groups offer to a knapsack."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.analysis import analyze_model
from onnxprune.core.steps import Limits, make_candidate
from onnxprune.demo import MODEL
from onnxprune.recovery.offers import flat_curve, offer


@pytest.mark.parametrize("align", [4, 8, 16])
def test_every_level_keeps_the_alignment(align: int) -> None:
    analysis = analyze_model(MODEL)
    limits = Limits(align=align)
    for group in analysis.deps.groups:
        candidate = make_candidate(
            analysis.deps, group, np.zeros(group.size), analysis.sites, limits
        )
        counts = offer(flat_curve(group), candidate).counts
        assert all((candidate.size - count) % align == 0 for count in counts[1:])
        assert counts[0] == 0
        assert counts[-1] == candidate.limit

"""Refit the weights that stay, close to what they were.

The final step of Meng et al., OSSCAR (arXiv 2403.12983), on the input of the network as pruned so
far and the output of the original: `min |Y - X W|^2 + ridge |W - W_before|^2`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.recovery.registry import recovery
from onnxprune.recovery.solve import RIDGES, Problem

if TYPE_CHECKING:
    from onnxprune.recovery.moments import Array, Moments
    from onnxprune.recovery.registry import Fit


@recovery("least-squares", strengths=RIDGES, also=("bias",), linear=True)
def least_squares(moments: Moments, weight: Array, bias: Array, *, free: bool) -> Fit:
    """Refit the weights that stay to the outputs of the original."""
    problem = Problem(moments, weight, bias, free=free)
    careful = 1e-2 + weight.shape[1] / max(moments.rows, 1.0)
    return lambda ridge: problem.at(careful if ridge is None else ridge)

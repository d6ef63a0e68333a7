"""Put the mean of what left into the bias.

An et al., Fluctuation-based Adaptive Structured Pruning (arXiv 2312.11983), here
against the mean that the original computes: `b = E[y] - W E[x]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.registry import recovery

if TYPE_CHECKING:
    from onnxprune.recovery.moments import Array, Moments
    from onnxprune.recovery.registry import Fit


@recovery("bias", linear=True)
def bias(moments: Moments, weight: Array, bias: Array, *, free: bool) -> Fit:
    """Move biases so that outputs keep their means."""
    count = max(moments.rows, 1.0)
    mean_x, mean_y = moments.gram[:, :-1, -1] / count, moments.cross[:, -1] / count
    new = mean_y - np.einsum("gf,gfo->go", mean_x, weight) if free else bias
    return lambda _: (weight, np.asarray(new))

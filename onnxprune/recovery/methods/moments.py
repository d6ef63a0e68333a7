"""Match mean and standard deviation of every output with those of the original.

What it does to take the statistics of batch normalisation again on the pruned network (Li et al.,
EagleEye, arXiv 2007.02491), in a network where the normalisation is folded into the weights: an
output whose standard deviation fell to a half is doubled, and its mean restored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.registry import recovery

if TYPE_CHECKING:
    from onnxprune.recovery.moments import Array, Moments
    from onnxprune.recovery.registry import Fit

SMALLEST, LARGEST = 0.5, 2.0
"""Bounds of the factor of an output."""

_NOTHING = 1e-6
"""Share of the mean variance of all outputs below which an output counts as constant."""


@recovery("moments")
def moments(moments: Moments, weight: Array, bias: Array, *, free: bool) -> Fit:
    """Rescale outputs and move biases so that outputs keep their means and deviations."""
    count = max(moments.rows, 1.0)
    mean_x, mean_y = moments.gram[:, :-1, -1] / count, moments.cross[:, -1] / count
    centred = moments.gram[:, :-1, :-1] / count - mean_x[:, :, None] * mean_x[:, None, :]
    now = np.einsum("gfo,gfo->go", weight, centred @ weight)
    wanted = moments.energy / count - np.square(mean_y)
    least = _NOTHING * max(float(wanted.mean()), 0.0) + 1e-30
    varies = (now > least) & (wanted > least)
    factor = np.sqrt(np.where(varies, wanted, 1.0) / np.where(varies, now, 1.0))
    new = weight * np.clip(factor, SMALLEST, LARGEST)[:, None]
    shift = np.asarray(mean_y - np.einsum("gf,gfo->go", mean_x, new)) if free else bias
    return lambda _: (new, shift)

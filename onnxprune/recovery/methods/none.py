"""No repair: what every other recovery has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.recovery.registry import NONE, recovery

if TYPE_CHECKING:
    from onnxprune.recovery.moments import Array, Moments
    from onnxprune.recovery.registry import Fit


@recovery(NONE, linear=True)
def none(moments: Moments, weight: Array, bias: Array, *, free: bool) -> Fit:  # noqa: ARG001
    """Leave weights as they are."""
    return lambda _: (weight, bias)

"""Rules by operator family: how labels pass and what a cut changes. Importing registers them."""

from __future__ import annotations

from onnxprune.rules import (
    broadcast,
    concat,
    control_flow,
    conv,
    einsum,
    elementwise,
    matmul,
    normalization,
    pooling,
    quantize,
    recurrent,
    reduction,
    reshape,
    slice,  # noqa: A004 - the family's name
)

__all__ = [
    "broadcast",
    "concat",
    "control_flow",
    "conv",
    "einsum",
    "elementwise",
    "matmul",
    "normalization",
    "pooling",
    "quantize",
    "recurrent",
    "reduction",
    "reshape",
    "slice",
]

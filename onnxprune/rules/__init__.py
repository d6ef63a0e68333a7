"""Rules by operator family: how labels pass and what a cut changes. Importing registers them."""

from __future__ import annotations

from onnxprune.rules import (
    attention,
    broadcast,
    concat,
    control_flow,
    conv,
    einsum,
    elementwise,
    gather,
    heads,
    matmul,
    normalization,
    opaque,
    pad,
    pooling,
    quantize,
    recurrent,
    reduction,
    reshape,
    resize,
    scatter,
    slice,  # noqa: A004 - the family's name
    whole_axes,
)

__all__ = [
    "attention",
    "broadcast",
    "concat",
    "control_flow",
    "conv",
    "einsum",
    "elementwise",
    "gather",
    "heads",
    "matmul",
    "normalization",
    "opaque",
    "pad",
    "pooling",
    "quantize",
    "recurrent",
    "reduction",
    "reshape",
    "resize",
    "scatter",
    "slice",
    "whole_axes",
]

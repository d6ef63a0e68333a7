"""Rules for the operators of ONNX Runtime's own domains; importing registers them."""

from __future__ import annotations

from onnxprune_contrib_ops import (
    activation,
    attention,
    convolution,
    experts,
    normalization,
    opaque,
    product,
    projected_attention,
    quantized,
    recurrent,
    rotary,
)

__all__ = [
    "activation",
    "attention",
    "convolution",
    "experts",
    "normalization",
    "opaque",
    "product",
    "projected_attention",
    "quantized",
    "recurrent",
    "rotary",
]

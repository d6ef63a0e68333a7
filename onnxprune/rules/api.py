"""What authors of rules import: the names here stay, wherever things move inside the package.

The decorators are `rule`, `update`, `shapes` and `macs`. A rule gets a `LabelContext` and a `Node`,
an update gets `Cuts` and a `Node` and returns a `Change`. The functions of the second list do the
labels of common kinds of operators, so that a rule is often a line.
"""

from __future__ import annotations

from onnxprune.core.context import LabelContext, Operand
from onnxprune.core.cuts import Change, Cuts
from onnxprune.core.graph import Node
from onnxprune.core.infer import infer_like
from onnxprune.core.labels import Factor, Factors
from onnxprune.core.macs import (
    Rank,
    Term,
    axes_from,
    convolution_macs,
    gemm_macs,
    product_macs,
    recurrent_macs,
)
from onnxprune.core.registry import macs, rule, shapes, update
from onnxprune.core.shapes import Inferred, Shape, Shapes
from onnxprune.core.walk import captures
from onnxprune.rules.attention import STEPS, heads_left, merge_heads, split_heads
from onnxprune.rules.conv import causal_conv, channels, conv_groups, per_channel
from onnxprune.rules.elementwise import meet, operand_to_right, unary
from onnxprune.rules.matmul import gated_input, gemm, operand, product
from onnxprune.rules.normalization import layer_norm, normalised
from onnxprune.rules.quantize import linear
from onnxprune.rules.whole_axes import pass_others, triangle

__all__ = [
    "Change",
    "Cuts",
    "Factor",
    "Factors",
    "Inferred",
    "LabelContext",
    "Node",
    "Operand",
    "Rank",
    "Shape",
    "Shapes",
    "Term",
    "infer_like",
    "macs",
    "rule",
    "shapes",
    "update",
]  # the objects and decorators
__all__ += [
    "STEPS",
    "axes_from",
    "captures",
    "causal_conv",
    "channels",
    "conv_groups",
    "convolution_macs",
    "gated_input",
    "gemm",
    "gemm_macs",
    "heads_left",
    "layer_norm",
    "linear",
    "meet",
    "merge_heads",
    "normalised",
    "operand",
    "operand_to_right",
    "pass_others",
    "per_channel",
    "product",
    "product_macs",
    "recurrent_macs",
    "split_heads",
    "triangle",
    "unary",
]  # what common kinds of operators do

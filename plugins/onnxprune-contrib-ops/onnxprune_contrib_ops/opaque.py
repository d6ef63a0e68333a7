"""Operators that nothing can be pruned through, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import captures, rule
from onnxprune_contrib_ops.domain import MICROSOFT, NCHWC, NHWC

if TYPE_CHECKING:
    from onnxprune.rules.api import LabelContext, Node

BITS = "packed weights whose layout is the kernel's own"
BY_CONTENT = "the shape of the result depends on content"
CACHE = "its cache is laid out in blocks, or selected by content"
COMPARED = "compares whole vectors"
COORDINATES = "its operands are coordinates"
GENERATION = "runs whole networks in a loop"
HASH = "works on tokens, whose indices mean something"
LAYOUT = "blocks of channels that only one machine has (optimisation level all)"
NOISE = "drops or draws at random"
NO_CHECK = "no kernel for CPUs, so that a cut cannot be checked"
RANGES = "ranges are measured over what would leave"
TRANSFORM = "transforms whole axes"
UNPAIRED = "its parts are normalised or mixed among one another"

REASONS = {
    "AttnLSTM": "a recurrent cell with its attention",
    "BeamSearch": GENERATION,
    "BiasSoftmax": NO_CHECK,
    "BifurcationDetector": HASH,
    "BitmaskBiasDropout": NOISE,
    "BitmaskDropout": NOISE,
    "BranchwiseRMSNorm": UNPAIRED,
    "CDist": COMPARED,
    "ComplexMul": NO_CHECK,
    "ComplexMulConj": NO_CHECK,
    "ConvTransposeWithDynamicPads": BY_CONTENT,
    "CropAndResize": COORDINATES,
    "DecoderAttention": NO_CHECK,
    "DecoderMaskedSelfAttention": NO_CHECK,
    "DequantizeBFP": BITS,
    "DequantizeWithOrder": NO_CHECK,
    "DynamicSparseAttention": CACHE,
    "DynamicTimeWarping": COMPARED,
    "EPContext": "compiled for one device",
    "EngramGate": UNPAIRED,
    "ExpandDims": "its axis is an operand",
    "FusedMatMulActivation": NO_CHECK,
    "GatedDeltaNet": NO_CHECK,
    "GatedRelativePositionBias": NO_CHECK,
    "GatherBlockQuantized": BITS,
    "GatherND": "selected by index tuples",
    "GemmFloat8": NO_CHECK,
    "GemmaRotaryEmbedding": NO_CHECK,
    "GreedySearch": GENERATION,
    "GridSample": COORDINATES,
    "HyperConnectionPostMix": UNPAIRED,
    "HyperConnectionPreMix": UNPAIRED,
    "Inverse": "an inverse needs the matrix whole",
    "Irfft": TRANSFORM,
    "IsAllFinite": "one answer for all elements",
    "LinearAttention": UNPAIRED,
    "LinearAttentionGate": UNPAIRED,
    "LongformerAttention": NO_CHECK,
    "MRotaryEmbedding": NO_CHECK,
    "MatMulBlockQuantizedFp4Weight": BITS,
    "MatMulBlockQuantizedFp8Weight": BITS,
    "MatMulBnb4": BITS,
    "MatMulFpQ4": BITS,
    "MatMulInteger16": "16-bit products are not masked",
    "MatMulNBitsMlp": BITS,
    "MatMulNBitsQkv": BITS,
    "MaxpoolWithMask": "for internal use of the runtime",
    "MulInteger": "products of integers, rarely of weights",
    "MurmurHash3": HASH,
    "NGramHashMapping": HASH,
    "NGramRepeatBlock": HASH,
    "NhwcFusedConv": NO_CHECK,
    "PackedAttention": NO_CHECK,
    "PackedMultiHeadAttention": NO_CHECK,
    "PackedSparseAttentionIndexer": CACHE,
    "Pad": "its amounts and axes are operands",
    "PagedAttention": CACHE,
    "QEmbedLayerNormalization": RANGES,
    "QLinearReduceMean": NO_CHECK,
    "QMoE": BITS,
    "QOrderedAttention": NO_CHECK,
    "QOrderedGelu": NO_CHECK,
    "QOrderedLayerNormalization": NO_CHECK,
    "QOrderedLongformerAttention": NO_CHECK,
    "QOrderedMatMul": NO_CHECK,
    "QuantizeBFP": BITS,
    "QuantizeWithOrder": NO_CHECK,
    "Range": "counts between computed ends",
    "ReduceSumInteger": NO_CHECK,
    "RelativePositionBias": NO_CHECK,
    "RemovePadding": BY_CONTENT,
    "RestorePadding": BY_CONTENT,
    "Rfft": TRANSFORM,
    "SampleOp": "an example of the runtime's authors",
    "Sampling": GENERATION,
    "Snpe": "compiled for one device",
    "SparseAttention": CACHE,
    "SparseAttentionIndexer": CACHE,
    "SparsePagedAttention": CACHE,
    "SparseToDenseMatMul": "works on sparse tensors",
    "Tokenizer": HASH,
    "TorchEmbedding": NO_CHECK,
    "UnfoldTensor": "its windows overlap",
    "Unique": BY_CONTENT,
    "VarlenCausalConvWithState": CACHE,
    "VarlenNGramHashMapping": HASH,
    "WhisperBeamSearch": GENERATION,
    "WordConvEmbedding": HASH,
}
"""Reason by operator of com.microsoft."""

BLOCKED = {
    NCHWC: (
        "AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReorderInput",
        "ReorderOutput", "Upsample",
    ),
    NHWC: (
        "AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace",
        "GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GridSample",
        "InstanceNormalization", "LRN", "LpPool", "MaxPool", "MaxUnpool", "QLinearAveragePool",
        "QLinearConv", "QLinearConvTranspose", "Resize", "SpaceToDepth",
    ),
}  # fmt: skip
"""Operators that only level `all` makes, by domain."""


@rule(*REASONS, domain=MICROSOFT, blind=True)
def opaque(ctx: LabelContext, node: Node) -> None:
    """Nothing passes."""
    _freeze(ctx, node, REASONS[node.op])


def blocked(ctx: LabelContext, node: Node) -> None:
    """Nothing passes."""
    _freeze(ctx, node, LAYOUT)


for _domain, _operators in BLOCKED.items():
    rule(*_operators, domain=_domain, blind=True)(blocked)


def _freeze(ctx: LabelContext, node: Node, reason: str) -> None:
    ctx.opaque(node, reason)
    for key in captures(node):
        ctx.freeze(ctx.factors(key), reason, value=key)

"""Nodes of every operator that something passes through."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper

from onnxprune.testing.made_cases import Content, floats, made_case, octets
from onnxprune_contrib_ops.domain import MICROSOFT


def case(name: str, op: str, inputs: list[Content | None], **more: Any):
    """Make a case of com.microsoft."""
    return made_case(name, op, inputs, opset=1, domain=MICROSOFT, **more)


def f(*shape: int, seed: int = 0) -> np.ndarray:
    return floats(*shape, seed=seed)


def small(*shape: int) -> np.ndarray:
    """Numbers of eight bits, so few and small that sums do not saturate."""
    return np.random.default_rng(shape).integers(120, 136, shape, np.uint8)


def signed(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(-6, 6, shape, np.int8)


def scale(value: float) -> np.ndarray:
    return np.array(value, np.float32)


def softmax(name: str, version: int, **more: Any):
    """Make a case of an operator that has an attribute `opset`."""
    made = case(name, "QLinearSoftmax", [octets(2, 4, 3), STEP, ZERO, STEP, ZERO], **more)
    made.node.attribute.append(helper.make_attribute("opset", version))
    return made


ZERO, ZEROS = np.array(128, np.uint8), np.array(0, np.int8)
STEP, BIG = scale(0.05), scale(0.2)

ACTIVATION = [
    case("gelu", "Gelu", [f(2, 3, 8)]),
    case("quick_gelu", "QuickGelu", [f(2, 3, 8)], alpha=1.7),
    case("scaled_silu", "ScaledSiLU", [f(2, 3, 8)]),
    case("bias_gelu", "BiasGelu", [f(2, 3, 8), f(8)]),
    case("fast_gelu", "FastGelu", [f(2, 3, 8)]),
    case("fast_gelu_bias", "FastGelu", [f(2, 3, 8), f(8)]),
    case("gated_add", "GatedAdd", [f(2, 3, 8), f(2, 3, 8, seed=1), f(2, 3, 1)]),
    case("bias_add", "BiasAdd", [f(2, 3, 8), f(8), f(2, 3, 8, seed=1)]),
    case("bias_dropout", "BiasDropout", [f(2, 3, 8), f(8), f(2, 3, 8, seed=1)]),
    case("bias_split_gelu", "BiasSplitGelu", [f(2, 3, 8), f(8)]),
    case("trilu", "Trilu", [f(3, 4, 4)], upper=0),
]

CONVOLUTION = [
    case("dynamic_lstm", "DynamicQuantizeLSTM",
         [f(5, 2, 6), signed(1, 6, 32), signed(1, 8, 32), f(1, 64), None, f(1, 2, 8),
          f(1, 2, 8, seed=1), None, f(1), signed(1), f(1), signed(1)], outputs=3, hidden_size=8),
    case("dynamic_lstm_both", "DynamicQuantizeLSTM",
         [f(5, 2, 6), signed(2, 6, 32), signed(2, 8, 32), f(2, 64), None, None, None, f(2, 24),
          f(2), signed(2), f(2), signed(2)], hidden_size=8, direction="bidirectional"),
    case("dynamic_lstm_columns", "DynamicQuantizeLSTM",
         [f(5, 2, 6), signed(2, 6, 32), signed(2, 8, 32), None, None, None, None, None, f(2, 32),
          np.zeros((2, 32), np.int8), f(2, 32), np.zeros((2, 32), np.int8)],
         hidden_size=8, direction="bidirectional", outputs=2),
    case("fused_conv", "FusedConv", [f(2, 4, 5, 5), f(6, 4, 3, 3), f(6)], activation="Relu"),
    case("fused_conv_groups", "FusedConv", [f(2, 4, 5, 5), f(8, 2, 3, 3), f(8)],
         activation="LeakyRelu", activation_params=[0.1], group=2, pads=[1, 1, 1, 1]),
    case("fused_conv_depthwise", "FusedConv", [f(2, 6, 5, 5), f(6, 1, 3, 3)],
         activation="HardSigmoid", activation_params=[0.2, 0.5], group=6, strides=[2, 2]),
    case("fused_conv_added", "FusedConv",
         [f(2, 4, 5, 5), f(6, 4, 1, 1), f(6), f(2, 6, 5, 5, seed=1)], activation="Relu"),
    case("nhwc_conv", "NhwcConv", [f(2, 5, 5, 4), f(6, 3, 3, 4), f(6)], pads=[1, 1, 1, 1],
         strides=[2, 2]),
    case("quantised_conv", "QLinearConv",
         [small(1, 4, 5, 5), STEP, ZERO, signed(6, 4, 3, 3), STEP, ZEROS, BIG, ZERO]),
    case("quantised_conv_last", "QLinearConv",
         [small(2, 5, 6, 4), STEP, ZERO, signed(6, 4, 3, 3), np.abs(f(6)) + 0.1,
          np.zeros(6, np.int8), BIG, ZERO, np.arange(6, dtype=np.int32)],
         channels_last=1, pads=[1, 1, 1, 1], strides=[2, 2]),
    case("quantised_conv_groups", "QLinearConv",
         [small(1, 5, 5, 8), STEP, ZERO, signed(8, 4, 3, 3), STEP, ZEROS, BIG, ZERO],
         channels_last=1, group=2),
    case("causal_conv", "CausalConvWithState", [f(2, 4, 6), f(4, 1, 3), f(4), f(2, 4, 2)],
         outputs=2),
    case("nhwc_max_pool", "NhwcMaxPool", [small(2, 6, 6, 4)], kernel_shape=[3, 3],
         strides=[2, 2], ceil_mode=1),
    case("average_pool", "QLinearAveragePool", [small(2, 4, 6, 6), STEP, ZERO, BIG, ZERO],
         kernel_shape=[2, 2]),
    case("average_pool_last", "QLinearAveragePool", [small(2, 6, 6, 4), STEP, ZERO, BIG, ZERO],
         kernel_shape=[2, 2], channels_last=1),
    case("global_pool", "QLinearGlobalAveragePool", [small(2, 4, 6, 6), STEP, ZERO, BIG, ZERO]),
    case("global_pool_last", "QLinearGlobalAveragePool",
         [small(2, 6, 6, 4), STEP, ZERO, BIG, ZERO], channels_last=1),
]  # fmt: skip


def blocks(columns: int, depth: int, *, bits: int = 4, block: int = 16) -> list[np.ndarray]:
    """Return the packed weights and scales of MatMulNBits."""
    count = -(-depth // block)
    return [octets(columns, count, block * bits // 8), np.abs(f(columns, count)) * 0.05]


PRODUCT = [
    case("fused_matmul", "FusedMatMul", [f(2, 3, 4), f(2, 4, 5)], alpha=0.5),
    case("fused_matmul_turned", "FusedMatMul", [f(2, 4, 3), f(5, 4)], transA=1, transB=1),
    case("fused_matmul_batch", "FusedMatMul", [f(3, 2, 4), f(2, 5, 4)], transBatchA=1, transB=1),
    case("fused_matmul_both", "FusedMatMul", [f(4, 2, 3), f(5, 2, 4)],
         transA=1, transBatchA=1, transB=1, transBatchB=1),
    case("fused_matmul_vector", "FusedMatMul", [f(4), f(2, 4, 5)]),
    case("transpose_matmul", "TransposeMatMul", [f(2, 3, 4), f(2, 5, 4)], transB=1),
    case("fused_gemm", "FusedGemm", [f(3, 4), f(4, 6), f(6)], activation="Relu", alpha=0.5),
    case("fused_gemm_turned", "FusedGemm", [f(4, 3), f(6, 4), f(1, 6)],
         activation="LeakyRelu", activation_alpha=0.1, transA=1, transB=1, beta=0.5),
    case("gemm_fast_gelu", "GemmFastGelu", [f(2, 3, 4), f(4, 6), f(6)]),
    case("integer_to_float", "MatMulIntegerToFloat",
         [small(3, 4), small(4, 6), STEP, np.abs(f(6)), ZERO, octets(6), f(6)]),
    case("integer_to_float_single", "MatMulIntegerToFloat",
         [small(2, 3, 4), signed(4, 6), STEP, BIG]),
    case("dynamic_matmul", "DynamicQuantizeMatMul",
         [f(2, 3, 4), signed(4, 6), np.abs(f(6)), np.zeros(6, np.int8), f(6)]),
    case("quantised_gemm", "QGemm",
         [small(3, 4), STEP, ZERO, signed(4, 6), np.abs(f(6)) + 0.1, np.zeros(6, np.int8),
          np.arange(6, dtype=np.int32), BIG, ZERO]),
    case("quantised_gemm_float", "QGemm", [small(4, 3), STEP, ZERO, signed(6, 4), STEP, ZEROS],
         transA=1, transB=1),
    case("blocks", "MatMulNBits", [f(2, 3, 64), *blocks(6, 64)], K=64, N=6, bits=4, block_size=16),
    case("blocks_packed_zeros", "MatMulNBits", [f(2, 3, 64), *blocks(6, 64), octets(6, 2)],
         K=64, N=6, bits=4, block_size=16),
    case("blocks_float_zeros", "MatMulNBits", [f(3, 64), *blocks(6, 64), f(6, 4), None, f(6)],
         K=64, N=6, bits=4, block_size=16),
    case("blocks_flat", "MatMulNBits",
         [f(3, 64), blocks(6, 64)[0], blocks(6, 64)[1].reshape(-1)],
         K=64, N=6, bits=4, block_size=16),
    case("blocks_ragged", "MatMulNBits", [f(3, 40), *blocks(6, 40)],
         K=40, N=6, bits=4, block_size=16),
    case("blocks_8_bits", "MatMulNBits", [f(3, 64), *blocks(6, 64, bits=8), octets(6, 4)],
         K=64, N=6, bits=8, block_size=16),
]  # fmt: skip

NORMALIZATION = [
    made_case("simplified", "SimplifiedLayerNormalization", [f(2, 3, 8), f(8)], opset=21),
    made_case("layer_norm_before_17", "LayerNormalization", [f(2, 3, 8), f(8)], opset=12),
    case("skip", "SkipLayerNormalization", [f(2, 3, 8), f(2, 3, 8, seed=1), f(8), f(8, seed=1)]),
    case("skip_sum", "SkipLayerNormalization",
         [f(2, 3, 8), f(3, 8), f(8), f(8, seed=1), f(8, seed=2)], outputs=["y", "", "", "sum"]),
    case("skip_simplified", "SkipSimplifiedLayerNormalization",
         [f(2, 3, 8), f(2, 3, 8, seed=1), f(8), f(8, seed=1)], outputs=["y", "", "", "sum"]),
    case("gated_rms", "GatedRMSNorm", [f(2, 3, 8), f(8), f(2, 3, 8, seed=1)]),
    case("embed", "EmbedLayerNormalization",
         [np.array([[1, 2, 3]], np.int32), np.array([[0, 1, 1]], np.int32), f(9, 8), f(5, 8),
          f(2, 8), f(8), f(8, seed=1)], outputs=["y", "m"]),
    case("embed_sum", "EmbedLayerNormalization",
         [np.array([[1, 2, 3]], np.int32), None, f(9, 8), f(5, 8), None, f(8), f(8, seed=1)],
         outputs=["y", "m", "s"]),
    case("group_norm", "GroupNorm", [f(2, 3, 3, 8), f(8), f(8, seed=1)], groups=4, activation=1),
    case("skip_group_norm", "SkipGroupNorm",
         [f(2, 3, 3, 8), f(8), f(8, seed=1), f(2, 3, 3, 8, seed=1), f(8, seed=2)],
         groups=4, activation=0, outputs=2),
    case("skip_group_norm_channels", "SkipGroupNorm",
         [f(2, 3, 3, 8), f(8), f(8, seed=1), f(2, 8, seed=1)], groups=4, activation=1),
]  # fmt: skip

LENGTHS = np.array([2, 2], np.int32)  # minus one, of two sequences of three steps
ANGLES = [np.cos(f(9, 4)), np.sin(f(9, 4))]

ATTENTION = [
    case("multi_head", "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8, seed=1)],
         num_heads=4),
    case("multi_head_wide", "MultiHeadAttention", [f(2, 3, 8), f(2, 5, 8), f(2, 5, 16)],
         num_heads=4, scale=0.3),
    case("multi_head_bias", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8, seed=1), f(24)], num_heads=4),
    case("multi_head_mask", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8, seed=1), None, None, f(2, 4, 3, 5)], num_heads=4),
    case("multi_head_mask_for_all", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 5, 8), f(2, 5, 8, seed=1), None, None, f(1, 1, 3, 5)], num_heads=4),
    case("multi_head_cache", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 3, 8, seed=1), f(2, 3, 8, seed=2), None, None, None, f(2, 4, 2, 2),
          f(2, 4, 2, 2, seed=1)], num_heads=4, outputs=3),
    case("multi_head_present", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 3, 8, seed=1), f(2, 3, 8, seed=2)], num_heads=4, outputs=3),
    case("multi_head_crossed", "MultiHeadAttention",
         [f(2, 3, 8), f(2, 4, 5, 2), f(2, 4, 5, 2, seed=1)], num_heads=4),
    case("decoder", "DecoderMaskedMultiHeadAttention",
         [f(2, 1, 8), f(2, 1, 8, seed=1), f(2, 1, 8, seed=2), None, None, f(2, 4, 3, 2),
          f(2, 4, 3, 2, seed=1), np.array([2], np.int32)],
         num_heads=4, past_present_share_buffer=1, outputs=3),
    case("grouped_query", "GroupQueryAttention",
         [f(2, 3, 64), f(2, 3, 32), f(2, 3, 32, seed=1), f(2, 2, 3, 16) * 0, f(2, 2, 3, 16) * 0,
          LENGTHS, np.array(3, np.int32)], num_heads=4, kv_num_heads=2, outputs=3),
    case("grouped_query_alone", "GroupQueryAttention",
         [f(2, 3, 64), f(2, 3, 32), f(2, 3, 32, seed=1), None, None, LENGTHS,
          np.array(3, np.int32)], num_heads=4, kv_num_heads=2, outputs=3),
    case("grouped_query_packed", "GroupQueryAttention",
         [f(2, 3, 128), None, None, None, None, LENGTHS, np.array(3, np.int32),
          np.cos(f(9, 8)), np.sin(f(9, 8))],
         num_heads=4, kv_num_heads=2, do_rotary=1, outputs=3),
    case("rotary", "RotaryEmbedding",
         [f(2, 3, 32), np.array([[0, 1, 2], [1, 2, 3]], np.int64), *ANGLES]),
    case("rotary_heads", "RotaryEmbedding",
         [f(2, 4, 3, 8), np.array([[0, 1, 2], [1, 2, 3]], np.int64), *ANGLES]),
    case("rotary_part", "RotaryEmbedding",
         [f(2, 3, 40), np.array([[0, 1, 2], [1, 2, 3]], np.int64), *ANGLES],
         num_heads=4, rotary_embedding_dim=8),
    case("attention", "Attention", [f(2, 3, 6), f(6, 24), f(24)], num_heads=4),
    case("attention_sizes", "Attention", [f(2, 3, 6), f(6, 32), f(32)], num_heads=4,
         qkv_hidden_sizes=[8, 8, 16]),
    case("attention_mask", "Attention",
         [f(2, 3, 6), f(6, 24), f(24), None, None, f(2, 4, 3, 3)], num_heads=4,
         unidirectional=1),
    case("attention_cache", "Attention",
         [f(2, 3, 6), f(6, 24), f(24), None, f(2, 2, 4, 2, 2)], num_heads=4, outputs=2),
    case("quantised_attention", "QAttention",
         [small(2, 3, 6), signed(6, 24), f(24), STEP, BIG, None, ZERO, ZEROS], num_heads=4),
    case("quantised_attention_columns", "QAttention",
         [small(2, 3, 6), signed(6, 24), f(24), STEP, np.abs(f(24)), None, ZERO,
          np.zeros(24, np.int8)], num_heads=4),
]  # fmt: skip

QUANTIZED = [
    case("quantise", "QuantizeLinear", [f(2, 4, 3), np.abs(f(4)) + 0.1, octets(4)], axis=1),
    case("dequantise", "DequantizeLinear", [octets(2, 4, 3), np.abs(f(4)) + 0.1, octets(4)],
         axis=1),
    case("dequantise_single", "DequantizeLinear", [octets(2, 4, 3), STEP, ZERO]),
    case("add", "QLinearAdd",
         [octets(2, 4, 3), STEP, ZERO, octets(4, 1), BIG, ZERO, BIG, ZERO]),
    case("mul", "QLinearMul", [octets(2, 4, 3), STEP, ZERO, octets(3), BIG, ZERO, BIG, ZERO]),
    case("where", "QLinearWhere",
         [octets(2, 4, 3) > 100, octets(2, 4, 3), STEP, ZERO, octets(3), BIG, ZERO, BIG, ZERO],
         fixed=[2, 3, 5, 6, 7, 8]),
    case("leaky_relu", "QLinearLeakyRelu", [octets(2, 4, 3), STEP, ZERO, BIG, ZERO], alpha=0.1),
    case("sigmoid", "QLinearSigmoid", [octets(2, 4, 3), STEP, ZERO, STEP, ZERO]),
    softmax("softmax", 13),
    softmax("softmax_old", 11, axis=1),
    case("concat", "QLinearConcat",
         [BIG, ZERO, octets(2, 4, 3), STEP, ZERO, octets(2, 6, 3), BIG, ZERO], axis=1),
]  # fmt: skip

EXPERTS = [
    case("experts", "MoE",
         [f(3, 4), f(3, 2), f(2, 6, 4), f(2, 6), f(2, 4, 6), f(2, 4)], k=1,
         activation_type="relu"),
    case("experts_plain", "MoE", [f(2, 3, 4), f(6, 2), f(2, 6, 4), None, f(2, 4, 6)], k=2,
         activation_type="gelu", normalize_routing_weights=1),
    case("experts_gated", "MoE",
         [f(3, 4), f(3, 2), f(2, 12, 4), f(2, 12), f(2, 4, 6), f(2, 4)], k=1,
         activation_type="swiglu", swiglu_fusion=1),
]  # fmt: skip

CASES = [
    *ACTIVATION, *CONVOLUTION, *PRODUCT, *NORMALIZATION, *ATTENTION, *QUANTIZED, *EXPERTS
]  # fmt: skip

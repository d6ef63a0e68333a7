"""Operators that ONNX Runtime has for GPUs alone, as their documentation defines them."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from onnxprune_contrib_ops.domain import MICROSOFT

erf = np.vectorize(math.erf, otypes=[np.float32])


def gelu(x):
    return (0.5 * x * (1 + erf(x / math.sqrt(2)))).astype(x.dtype)


def fast_gelu(x):
    return 0.5 * x * (1 + np.tanh(0.797885 * x + 0.035677 * x**3))


class BiasAdd(OpRun):
    op_domain = MICROSOFT

    def _run(self, x, bias, skip):
        return (x + bias + skip,)


class BiasSplitGelu(OpRun):
    op_domain = MICROSOFT

    def _run(self, x, bias):
        left, right = np.split(x + bias, 2, axis=-1)
        return (left * gelu(right),)


class BiasDropout(OpRun):
    op_domain = MICROSOFT

    def _run(self, data, bias, residual=None, ratio=None, training_mode=None, seed=None):
        result = data + bias
        return (result if residual is None else result + residual,)


class GemmFastGelu(OpRun):
    op_domain = MICROSOFT

    def _run(self, x, w, bias=None):
        result = x @ w
        return (fast_gelu(result if bias is None else result + bias).astype(x.dtype),)


def grouped(x, gamma, beta, groups, epsilon, activation, last):
    y = np.moveaxis(x, -1, 1) if last else x
    parts = y.reshape(y.shape[0], groups, -1).astype(np.float64)
    mean, variance = parts.mean(-1, keepdims=True), parts.var(-1, keepdims=True)
    y = ((parts - mean) / np.sqrt(variance + epsilon)).reshape(y.shape)
    around = (1, -1) + (1,) * (y.ndim - 2)
    y = y * gamma.reshape(around) + beta.reshape(around)
    if activation:
        y = y / (1 + np.exp(-y))
    return (np.moveaxis(y, 1, -1) if last else y).astype(x.dtype)


class GroupNorm(OpRun):
    op_domain = MICROSOFT

    def _run(self, x, gamma, beta, activation=0, channels_last=1, epsilon=1e-5, groups=1):
        last = channels_last is None or channels_last
        return (grouped(x, gamma, beta, groups, epsilon or 1e-5, activation, last),)


class SkipGroupNorm(OpRun):
    op_domain = MICROSOFT

    def _run(
        self, x, gamma, beta, skip, bias=None, activation=0, channels_last=1, epsilon=1e-5, groups=1
    ):
        if skip.ndim == 2:
            skip = skip[:, None, None, :]
        total = x + skip if bias is None else x + skip + bias
        last = channels_last is None or channels_last
        result = grouped(total, gamma, beta, groups, epsilon or 1e-5, activation, last)
        return (result, total)


class NhwcConv(OpRun):
    op_domain = MICROSOFT

    def _run(self, x, w, bias=None, **attributes):
        kept = {k: v for k, v in attributes.items() if v is not None}
        names = ["x", "w"] if bias is None else ["x", "w", "b"]
        node = helper.make_node("Conv", names, ["y"], **kept)
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in [*names, "y"]]
        plain = helper.make_model(helper.make_graph([node], "g", infos[:-1], infos[-1:]))
        feed = {"x": np.moveaxis(x, -1, 1), "w": np.moveaxis(w, -1, 1), "b": bias}
        [y] = ReferenceEvaluator(plain).run(None, {n: feed[n] for n in names})
        return (np.moveaxis(y, 1, -1),)


OPERATORS = [NhwcConv, BiasAdd, BiasSplitGelu, BiasDropout, GemmFastGelu, GroupNorm, SkipGroupNorm]

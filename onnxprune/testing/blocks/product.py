"""Blocks of matrix products: Gemm, MatMul and Einsum in all their forms."""

from __future__ import annotations

import numpy as np

from onnxprune.testing.blocks.builder import MAPS, Builder, Tensor
from onnxprune.testing.blocks.layers import (
    activate,
    add,
    fit,
    linear,
    nonlinear,
    project,
    transpose,
)
from onnxprune.testing.blocks.registry import block
from onnxprune.testing.blocks.shaping import At, Size, reshape
from onnxprune.testing.blocks.versioned import softmax, split, squeeze, unsqueeze
from onnxprune.testing.blocks.weights import bias, plain, weight


@block("vec")
def gemm(b: Builder, x: Tensor) -> Tensor:
    """Gemm with any transposition, factors, and shape of the addend."""
    width = b.width()
    attributes: dict[str, int | float] = {}
    shape = (x.channels, width)
    if b.chance(0.5):
        attributes["transB"] = 1
        shape = (width, x.channels)
    if b.chance(0.4):
        attributes["alpha"] = b.pick([0.5, 1.0, 1.5])
    left: str | Tensor = x
    if b.chance(0.2):
        left = b.op("Transpose", x, perm=[1, 0])
        attributes["transA"] = 1
    operands = [left, weight(b, shape, fan_in=x.channels)]
    if b.opset < 11 or b.chance(0.8):
        operands.append(bias(b, b.pick([(width,), (1, width), (1,), (), (width,), (1, 1)])))
        if b.chance(0.4):
            attributes["beta"] = b.pick([0.5, 1.0])
    return x.resized(b.op("Gemm", *operands, **attributes), width)


@block("vec")
def gemm_addend(b: Builder, x: Tensor) -> Tensor:
    """Gemm whose addend is computed, which makes a residual of it."""
    matrix = weight(b, (x.channels, x.channels), fan_in=x.channels)
    inner = nonlinear(b, project(b, x, x.channels))
    return x.named(b.op("Gemm", inner, matrix, x, beta=b.pick([0.5, 1.0])), rms=1.5 * x.rms)


@block("vec")
def weight_on_the_left(b: Builder, x: Tensor) -> Tensor:
    """Multiply a weight with the transposed value."""
    width = b.width()
    matrix = weight(b, (width, x.channels), fan_in=x.channels)
    flipped = b.op("Transpose", x, perm=[1, 0])
    if b.chance(0.5):
        name = b.op("MatMul", matrix, flipped)
    else:
        name = b.op("Gemm", matrix, flipped, bias(b, (width, 1)))
    return x.resized(b.op("Transpose", name, perm=[1, 0]), width)


@block("line", "plane")
def left_product_over_channels(b: Builder, x: Tensor) -> Tensor:
    """Mix the channels of a flattened map by a weight on the left."""
    width = b.width()
    rest = Size(tuple(At(i) for i in range(2, len(x.shape))))
    flat = reshape(b, x, [At(0), At(1), rest])
    matrix = weight(b, (width, x.channels), fan_in=x.channels)
    product = Tensor(b.op("MatMul", matrix, flat), (x.shape[0], width, flat.shape[2]), "raw", x.rms)
    return reshape(b, product, [At(0), At(1), *x.space], x.layout)


@block("plane")
def product_over_space(b: Builder, x: Tensor) -> Tensor:
    """Mix columns of each channel by one matrix, or by one matrix per channel."""
    size = b.between(2, 6)
    lead = b.pick([(), (x.channels,), (1, x.channels)])
    matrix = weight(b, (*lead, x.space[1], size), fan_in=x.space[1])
    return x.resized(b.op("MatMul", x, matrix), x.channels, space=[x.space[0], size])


@block("seq", "vec")
def perceptron(b: Builder, x: Tensor) -> Tensor:
    """Two linear layers with an activation, added to the input."""
    inner = activate(b, linear(b, x, b.width()))
    out = linear(b, inner, x.channels)
    return add(b, out, x) if b.chance(0.7) else out


@block("seq", "vec")
def swiglu(b: Builder, x: Tensor) -> Tensor:
    """A gated perceptron with two matrices, or with one that is split."""
    hidden = b.width()
    if b.chance(0.5):
        left, right = linear(b, x, hidden), linear(b, x, hidden)
    else:
        both = linear(b, x, 2 * hidden)
        parts = split(b, both, [hidden, hidden], both.axis)
        left, right = (both.resized(part, hidden) for part in parts)
    gated = b.op("Mul", left, b.op("Sigmoid", left))
    inner = x.resized(b.op("Mul", gated, right), hidden)
    return add(b, linear(b, inner, x.channels), x)


@block("seq")
def mixer(b: Builder, x: Tensor) -> Tensor:
    """Mix channels between two transpositions by a weight on the left, as an MLP-Mixer does."""
    hidden = b.width()
    first = transpose(b, x, [0, 2, 1])
    matrices = [
        weight(b, (hidden, x.channels), fan_in=x.channels),
        weight(b, (x.channels, hidden), fan_in=hidden),
    ]
    inner = b.op("Relu", b.op("MatMul", matrices[0], first))
    out = b.op("MatMul", matrices[1], inner)
    return add(b, x, transpose(b, first.named(out), [0, 2, 1], "seq"))


@block("vec")
def bilinear(b: Builder, x: Tensor) -> Tensor:
    """Products of all pairs of two projections."""
    left, right = project(b, x, b.between(2, 4)), project(b, x, b.between(2, 4))
    outer = b.op("MatMul", unsqueeze(b, left, [2]), unsqueeze(b, right, [1]))
    pairs = Tensor(outer, (x.shape[0], left.channels, right.channels), "raw", x.rms**2)
    flat = reshape(b, pairs, [At(0), Size((At(1), At(2)))], "vec")
    return linear(b, flat, b.width())


@block("vec")
def scores_of_pairs(b: Builder, x: Tensor) -> Tensor:
    """The inner product of two projections, kept as one channel."""
    width = b.width()
    left, right = project(b, x, width), project(b, x, width)
    product = b.op("MatMul", unsqueeze(b, left, [1]), unsqueeze(b, right, [2]))
    score = x.resized(squeeze(b, product, [2]), 1)
    return x.named(b.op("Add", x, b.op("Tanh", score)), rms=x.rms + 1)


@block("vec", "seq")
def experts(b: Builder, x: Tensor) -> Tensor:
    """Run all experts as one batched product and weigh them by a softmax."""
    count, hidden = b.between(2, 3), b.width()
    up = weight(b, (count, x.channels, hidden), fan_in=x.channels)
    down = weight(b, (count, hidden, x.channels), fan_in=hidden)
    lead = "" if x.layout == "vec" else "l"
    if b.opset >= 12 and b.chance(0.5):
        inner = b.op("Relu", b.op("Einsum", x, up, equation=f"n{lead}c,ech->n{lead}eh"))
        out = b.op("Einsum", inner, down, equation=f"n{lead}eh,ehc->n{lead}ec")
    else:
        wide = unsqueeze(b, x, [x.axis, x.axis + 1])
        squeezed = [x.axis + 1]
        inner = b.op("Relu", b.op("MatMul", wide, up))
        out = squeeze(b, b.op("MatMul", inner, down), squeezed)
    shares = project(b, x, count)
    factor = unsqueeze(b, softmax(b, shares, shares.axis), [len(x.shape)])
    total = b.op("Mul", out, factor)
    axes = [x.axis]
    if b.opset < 13:
        return x.named(b.op("ReduceSum", total, axes=axes, keepdims=0))
    return x.named(b.op("ReduceSum", total, b.ints(axes), keepdims=0))


@block("vec", since=12, floats="fd")
def einsum_vector(b: Builder, x: Tensor) -> Tensor:
    """Einsum of a vector with a weight in every order of the letters."""
    width = b.width()
    form = b.pick(["nc,co->no", "nc,oc->no", "oc,nc->no", "nc,co", "...c,co->...o", "bilinear"])
    if form == "bilinear":
        cube = weight(b, (width, x.channels, x.channels), fan_in=x.channels**2)
        return x.resized(b.op("Einsum", x, cube, x, equation="na,oab,nb->no"), width)
    left, right = form.split("->")[0].split(",")
    shape = (width, x.channels) if "oc" in (left, right) else (x.channels, width)
    matrix = weight(b, shape, fan_in=x.channels)
    operands: list[str | Tensor] = [matrix, x] if left == "oc" else [x, matrix]
    return x.resized(b.op("Einsum", *operands, equation=form), width)


@block("seq", since=12, floats="fd")
def einsum_heads(b: Builder, x: Tensor) -> Tensor:
    """Project to heads and back with weights of three axes."""
    heads, each = b.between(2, 3), b.pick([2, 4])
    up = weight(b, (x.channels, heads, each), fan_in=x.channels)
    down = weight(b, (heads, each, x.channels), fan_in=heads * each)
    inner = b.op("Tanh", b.op("Einsum", x, up, equation="blc,chd->blhd"))
    if b.chance(0.5):
        inner = b.op("Einsum", inner, plain(b, np.eye(each)), equation="blhd,de->blhe")
    return x.named(b.op("Einsum", inner, down, equation="blhd,hdc->blc"))


@block("plane", since=12, floats="fd")
def einsum_map(b: Builder, x: Tensor) -> Tensor:
    """Mix channels or sum space away by Einsum."""
    width = b.width()
    matrix = weight(b, (x.channels, width), fan_in=x.channels)
    if b.chance(0.5):
        return x.resized(b.op("Einsum", x, matrix, equation="nchw,co->nohw"), width)
    mixed = b.op("Einsum", b.op("Tanh", x), matrix, equation="nchw,co->no")
    return Tensor(b.op("Tanh", mixed), (x.shape[0], width), "vec")


@block("seq", since=12, floats="fd")
def einsum_positions(b: Builder, x: Tensor) -> Tensor:
    """Outer products summed over the sequence: a channel-by-channel matrix, applied again."""
    left = b.op("Tanh", linear(b, x, x.channels))
    state = b.op("Einsum", left, x, equation="bli,blj->bij")
    return x.named(b.op("Einsum", left, b.op("Tanh", state), equation="bli,bij->blj"), rms=2.0)


@block(*MAPS, floats="ef")
def grouped_product(b: Builder, x: Tensor) -> Tensor:
    """Mix channels within groups by a batched product with one matrix per group."""
    groups = b.pick([2, 3])
    x = fit(b, x, groups)
    each, out = x.channels // groups, b.between(2, 4)
    rest = Size(tuple(At(i) for i in range(2, len(x.shape))))
    grouped = reshape(b, x, [At(0), groups, each, rest])
    matrix = weight(b, (groups, out, each), fan_in=each)
    shape = (x.shape[0], groups, out, grouped.shape[3])
    product = Tensor(b.op("MatMul", matrix, grouped), shape, "raw", x.rms)
    return reshape(b, product, [At(0), Size((At(1), At(2))), *x.space], x.layout)

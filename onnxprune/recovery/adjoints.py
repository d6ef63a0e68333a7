"""What a node hands back: from the gradient at its outputs to the gradient at an input.

Runtimes for inference compute no gradients, and a network comes without its training code. Few
kinds of operators cover what networks are made of: sums of products hand back through the same
weights turned around, moved values go back to where they came from, and what acts on every element
alone is differenced. What is in no table hands back nothing: less is known then, nothing is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from onnxprune.recovery.unfold import same_pads
from onnxprune.runtime.session import open_session, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.graph import Node

    Array = np.ndarray

__all__ = ["ADJOINTS", "Local"]

_SOFTMAX_OF_ONE_AXIS = 13
"""Opset from which Softmax is along one axis instead of all from one on."""

_STEP = 2.0**-10
"""Distance of a difference, relative to the value."""


@dataclass(slots=True)
class Local:
    """A node with its values in one batch.

    Attributes:
        node: the node.
        inputs: content of its inputs, None for what is left out or unknown.
        outputs: content of its outputs, None for what is left out.
        rerun: returns the outputs with another content of an input.
        sessions: what adjoints keep from one batch to the next.
    """

    node: Node
    inputs: Sequence[Array | None]
    outputs: Sequence[Array | None]
    rerun: Callable[[int, Array], list[Array]]
    sessions: dict[object, Callable[[Array, Array], Array]]

    def given(self, position: int) -> Array:
        """Return an input that is there."""
        found = self.inputs[position]
        assert found is not None
        return found


Adjoint = Callable[[Local, "list[Array | None]", int], "Array | None"]
"""From gradients at the outputs to the gradient at one input; None where it is not known."""


def _first(adjoint: Callable[[Local, Array, int], Array | None]) -> Adjoint:
    """Turn a rule for operators with one output into one for all."""

    def rule(local: Local, gradients: list[Array | None], position: int) -> Array | None:
        found = gradients[0]
        return None if found is None else adjoint(local, found, position)

    return rule


def _as_before(gradient: Array, like: Array) -> Array:
    """Sum up what a value was handed out to by broadcasting."""
    extra = gradient.ndim - like.ndim
    if extra > 0:
        gradient = gradient.sum(axis=tuple(range(extra)))
    once = tuple(i for i, n in enumerate(like.shape) if n == 1 and gradient.shape[i] != 1)
    return np.asarray(gradient.sum(axis=once, keepdims=True) if once else gradient)


# ---- element by element ------------------------------------------------------------------------


def _add(local: Local, gradient: Array, position: int) -> Array:
    return _as_before(gradient, local.given(position))


def _subtract(local: Local, gradient: Array, position: int) -> Array:
    return _as_before(-gradient if position else gradient, local.given(position))


def _multiply(local: Local, gradient: Array, position: int) -> Array | None:
    other = local.inputs[1 - position]
    return None if other is None else _as_before(gradient * other, local.given(position))


def _relu(local: Local, gradient: Array, position: int) -> Array:
    return gradient * (local.given(position) > 0)


def _differenced(local: Local, gradient: Array, position: int) -> Array:
    """Difference an operator in which an element of the output needs one element of the input."""
    x = local.given(position)
    step = _STEP * (np.abs(x) + 0.1 * np.sqrt(np.square(x).mean()) + 1e-12)
    above, below = np.asarray(x + step), np.asarray(x - step)  # a sum of numbers is no array
    change = local.rerun(position, above)[0] - local.rerun(position, below)[0]
    return _as_before(gradient * (change / (above - below)), x)


def _batch_norm(local: Local, gradient: Array, position: int) -> Array | None:
    return None if position else _differenced(local, gradient, 0)


# ---- moved, not changed ------------------------------------------------------------------------


def _reshaped(local: Local, gradient: Array, position: int) -> Array | None:
    return None if position else gradient.reshape(local.given(0).shape)


def _transposed(local: Local, gradient: Array, position: int) -> Array:  # noqa: ARG001
    order = local.node.attribute("perm")
    return gradient.transpose(np.argsort(order) if order is not None else None)


def _concatenated(local: Local, gradient: Array, position: int) -> Array | None:
    axis = int(local.node.attribute("axis", 0))
    widths = [None if x is None else x.shape[axis] for x in local.inputs[: position + 1]]
    if None in widths:
        return None
    end = sum(w for w in widths if w is not None)
    start = end - local.given(position).shape[axis]
    return gradient.take(range(start, end), axis)


def _padded(local: Local, gradient: Array, position: int) -> Array | None:
    shape, pads = local.given(0).shape, local.node.attribute("pads")
    if pads is None and len(local.inputs) > 1 and local.inputs[1] is not None:
        pads = local.inputs[1].tolist()
    if position or pads is None or len(pads) != 2 * len(shape):
        return None
    if str(local.node.attribute("mode", "constant")) != "constant" or min(pads) < 0:
        return None
    inside = zip(pads, shape, strict=False)
    return gradient[tuple(slice(before, before + n) for before, n in inside)]


def _moved(local: Local, gradients: list[Array | None], position: int) -> Array | None:
    """Send every element back to where it came from, found by moving numbers of places."""
    if position:
        return None
    x = local.given(0)
    places = local.rerun(0, np.arange(1, x.size + 1).reshape(x.shape))
    total = np.zeros(x.size + 1)
    for gradient, place in zip(gradients, places, strict=True):
        if gradient is not None:
            total += np.bincount(place.ravel(), gradient.ravel(), x.size + 1)
    return total[1:].reshape(x.shape).astype(np.float32)


# ---- sums --------------------------------------------------------------------------------------


def _averaged(local: Local, gradient: Array, position: int) -> Array | None:
    """Hand back a mean or a sum over axes."""
    x, y = local.given(0), local.outputs[0]
    if position or y is None:
        return None
    axes = local.node.attribute("axes")
    if axes is None and len(local.inputs) > 1 and local.inputs[1] is not None:
        axes = local.inputs[1].tolist()
    if local.node.op == "GlobalAveragePool":
        axes = range(2, x.ndim)
    axes = sorted(a % x.ndim for a in (axes or range(x.ndim)))
    share = 1.0 if local.node.op == "ReduceSum" else y.size / x.size
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    return np.broadcast_to(gradient.reshape(kept) * np.float32(share), x.shape)


def _matrix_product(local: Local, gradient: Array, position: int) -> Array | None:
    other = local.inputs[1 - position]
    mine = local.given(position)
    if other is None or other.ndim < 2 or mine.ndim < 2:
        return None
    turned = other.swapaxes(-1, -2)
    pair = (gradient, turned) if position == 0 else (turned, gradient)
    return _as_before(np.matmul(*pair), mine)


def _gemm(local: Local, gradient: Array, position: int) -> Array | None:
    if position > 1 or local.inputs[1 - position] is None:
        return None
    turned = [bool(local.node.attribute(name, 0)) for name in ("transA", "transB")]
    other = local.given(1 - position)
    other = other if turned[1 - position] else other.T
    found = gradient @ other if position == 0 else other @ gradient
    found = found.T if turned[position] else found
    return np.asarray(found * np.float32(local.node.attribute("alpha", 1.0)))


def _convolution(local: Local, gradient: Array, position: int) -> Array | None:
    """Run a convolution backwards, which is a transposed one, and the other way round."""
    x, weight = local.given(0), local.inputs[1]
    if position or weight is None:
        return None
    node, rank = local.node, x.ndim - 2
    strides = tuple(node.attribute("strides") or (1,) * rank)
    dilations = tuple(node.attribute("dilations") or (1,) * rank)
    forward = node.op == "Conv"
    wide, narrow = (x, gradient) if forward else (gradient, x)
    rest = []
    auto, given = str(node.attribute("auto_pad", "NOTSET")), node.attribute("pads")
    pads = list(given) if given is not None else [0] * (2 * rank)
    for axis in range(rank):
        reach = (narrow.shape[2 + axis] - 1) * strides[axis] + 1
        reach += (weight.shape[2 + axis] - 1) * dilations[axis]
        missing = reach - wide.shape[2 + axis]
        if auto.startswith("SAME"):
            pads[axis], pads[axis + rank] = same_pads(missing, auto)
        rest.append(pads[axis] + pads[axis + rank] - missing)
    if min(pads) < 0 or min(rest) < 0:
        return None
    if not forward and any(rest):
        return None
    attributes: dict[str, Any] = {
        "strides": strides, "dilations": dilations, "pads": tuple(pads),
        "group": int(node.attribute("group", 1)),
        **({"output_padding": tuple(rest)} if forward else {}),
    }  # fmt: skip
    key = (node.index, *attributes.items())
    if key not in local.sessions:
        op = "ConvTranspose" if forward else "Conv"
        local.sessions[key] = _two_inputs(op, x.ndim, attributes)
    return local.sessions[key](gradient, weight)


def _two_inputs(op: str, rank: int, attributes: dict[str, Any]) -> Callable[..., Array]:
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None] * rank) for n in "abc"]
    node = helper.make_node(op, ["a", "b"], ["c"], **attributes)
    graph = helper.make_graph([node], "adjoint", infos[:2], infos[2:])
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 13)])
    session = open_session(model.SerializeToString(), optimize=True)

    def call(a: Array, b: Array) -> Array:
        return np.asarray(run(session, {"a": np.ascontiguousarray(a), "b": b})[0])

    return call


# ---- normalisations ----------------------------------------------------------------------------


def _softmax(local: Local, gradient: Array, position: int) -> Array | None:  # noqa: ARG001
    y = local.outputs[0]
    if y is None:
        return None
    flattens = local.node.opset < _SOFTMAX_OF_ONE_AXIS
    axis = int(local.node.attribute("axis", 1 if flattens else -1)) % y.ndim
    if flattens and axis != y.ndim - 1:
        return None
    return np.asarray(y * (gradient - (gradient * y).sum(axis=axis, keepdims=True)))


def _layer_norm(local: Local, gradient: Array, position: int) -> Array | None:
    scale = local.inputs[1]
    if position or scale is None:
        return None
    x = local.given(0)
    first = int(local.node.attribute("axis", -1)) % x.ndim
    axes = tuple(range(first, x.ndim))
    centred = x - x.mean(axis=axes, keepdims=True)
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    rate = 1.0 / np.sqrt(variance + np.float32(local.node.attribute("epsilon", 1e-5)))
    unit, felt = centred * rate, gradient * scale
    along = (felt * unit).mean(axis=axes, keepdims=True)
    return np.asarray(rate * (felt - felt.mean(axis=axes, keepdims=True) - unit * along))


_ALONE = (
    "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid",
    "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mish", "Neg", "PRelu", "Pow", "Reciprocal",
    "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Swish", "Tanh", "Where",
)  # fmt: skip

ADJOINTS: dict[str, Adjoint] = {
    **dict.fromkeys(_ALONE, _first(_differenced)),
    "Add": _first(_add),
    "Sub": _first(_subtract),
    "Mul": _first(_multiply),
    "Relu": _first(_relu),
    **dict.fromkeys(
        ("Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"), _first(_reshaped)
    ),
    "Transpose": _first(_transposed),
    "Pad": _first(_padded),
    "Concat": _first(_concatenated),
    **dict.fromkeys(("Expand", "Gather", "Slice", "Split", "Tile"), _moved),
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean", "ReduceSum"), _first(_averaged)),
    "MatMul": _first(_matrix_product),
    "Gemm": _first(_gemm),
    "Conv": _first(_convolution),
    "ConvTranspose": _first(_convolution),
    "BatchNormalization": _first(_batch_norm),
    "Softmax": _first(_softmax),
    "LayerNormalization": _first(_layer_norm),
}
"""Adjoints of operators of the default domain."""

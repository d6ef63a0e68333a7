"""Look behind outputs that hide differences in front of them.

A sigmoid near zero hides every one, and so does what is never a number.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import onnx
from onnx import helper

from onnxprune.core.walk import captures

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies

_SATURATING = frozenset(
    (
        "ArgMax ArgMin Cast Clip Erf Exp Greater GreaterOrEqual HardSigmoid Hardmax Less "
        "LessOrEqual LogSoftmax Relu Sigmoid Softmax Softsign Tanh TopK"
    ).split()
)
_MOST_TAPS = 48
_MOST_ELEMENTS = 1 << 23
_FLOATS = (1, 10, 11, 16)
"""float, float16, double, bfloat16."""

_MOVING = frozenset(("Flatten Identity Reshape Squeeze Transpose Unsqueeze").split())


def behind_saturation(deps: Dependencies) -> tuple[dict[str, int], frozenset[str]]:
    """Return values in front of saturating operators that make outputs, with their types.

    Returns:
        The values, and the outputs that they stand for.
    """
    covered: set[str] = set()
    producers = {o: n for n in deps.graph.nodes for o in n.outputs if o}
    found: dict[str, int] = {}
    for output in deps.graph.outputs:
        key, saturated = output, False
        while key in producers and producers[key].op in _SATURATING | _MOVING:
            saturated |= producers[key].op in _SATURATING
            key = producers[key].inputs[0]
        dtype = deps.settings[0].dtypes.get(key)
        if (
            saturated
            and key in producers
            and dtype is not None
            and not deps.ctx.factors_of.get(key)
        ):
            found[key] = dtype
            covered.add(output)
    for key in deps.graph.outputs:
        found.pop(key, None)
    return found, frozenset(covered)


def acted_on(deps: Dependencies, removed: NDArray[np.bool_]) -> set[str]:
    """Return the values of full size that depend on what is removed.

    Args:
        deps: the analysis.
        removed: one flag per label.
    """

    def cut(key: str) -> bool:
        factors = deps.ctx.factors_of.get(key, ())
        if deps.hierarchy:  # what stays may stand in another order
            return bool(factors)
        return any(removed[deps.roots[f.labels]].any() for f in factors)

    found: set[str] = set()
    for node in deps.graph.nodes:
        inside = (g.parameters for b in node.bodies.values() for g in b.walk())
        read = {*node.inputs, *captures(node)}.union(*inside)
        if any(k in found or cut(k) for k in read):
            found.update(o for o in node.outputs if o)
    return {k for k in found if not cut(k)}


def in_front_of(
    deps: Dependencies, outputs: Collection[str], values: Collection[str]
) -> dict[str, int]:
    """Return those of some values that are nearest to some outputs, with their types.

    As many as a little memory holds.

    Args:
        deps: the analysis.
        outputs: outputs of the graph.
        values: floating-point values are chosen from these.
    """
    producers = {o: n for n in deps.graph.nodes for o in n.outputs if o}
    found: dict[str, int] = {}
    left = _MOST_ELEMENTS
    queue, seen = [k for k in deps.graph.outputs if k in outputs], {*outputs}
    for key in queue:  # grows
        dtype, size = deps.settings[0].dtypes.get(key), prod(deps.ctx.shape(key) or (left + 1,))
        if dtype in _FLOATS and size <= left and key in values and key not in outputs:
            found[key] = dtype
            left -= size
        if len(found) >= _MOST_TAPS:
            break
        inputs = producers[key].inputs if key in producers else ()
        new = [k for k in inputs if k and k not in seen]
        seen.update(new)
        queue += new
    return found


def with_outputs(proto: onnx.ModelProto, values: Mapping[str, int]) -> onnx.ModelProto:
    """Return a copy of a model with more outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for name, dtype in values.items():
        copy.graph.output.append(helper.make_tensor_value_info(name, dtype, None))
    return copy

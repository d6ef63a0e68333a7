"""Look behind saturated outputs: a sigmoid near zero hides every difference in front of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import helper

if TYPE_CHECKING:
    from onnxprune.core.dependencies import Dependencies

_SATURATING = frozenset(
    (
        "ArgMax ArgMin Cast Clip Erf Exp Greater GreaterOrEqual HardSigmoid Hardmax Less "
        "LessOrEqual LogSoftmax Relu Sigmoid Softmax Softsign Tanh TopK"
    ).split()
)
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


def with_outputs(proto: onnx.ModelProto, values: dict[str, int]) -> onnx.ModelProto:
    """Return a copy of a model with more outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for name, dtype in values.items():
        copy.graph.output.append(helper.make_tensor_value_info(name, dtype, None))
    return copy

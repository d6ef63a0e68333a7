"""The single-node cases that ship with onnx: a sample of inputs and outputs for each operator.

`onnx.backend.test.case.node` computes its cases when it is imported; here they become plain NumPy
values, so that a rule can be checked by slicing the inputs, running the node and comparing.
"""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

Value: TypeAlias = "NDArray[np.generic] | list[Value] | None"


@dataclass(frozen=True)
class NodeCase:
    """A model of one node with inputs and the outputs that onnx expects.

    Attributes:
        name: Name of the case in onnx's tests.
        model: Model whose graph is the one node; inputs and outputs are all declared.
        inputs: Value per graph input; a list is a sequence, None an empty optional.
        outputs: Value per graph output.
        rtol: Relative tolerance that onnx grants.
        atol: Absolute tolerance that onnx grants.
        expanded: Whether the node is what a function operator expands to.
        fixed: Inputs that can only be initializers.
    """

    name: str
    model: onnx.ModelProto
    inputs: dict[str, Value]
    outputs: dict[str, Value]
    rtol: float
    atol: float
    expanded: bool
    fixed: frozenset[str] = frozenset()

    @property
    def node(self) -> onnx.NodeProto:
        """The only node."""
        node: onnx.NodeProto = self.model.graph.node[0]
        return node

    @property
    def opset(self) -> int:
        """Version of the operator set that the node's domain is imported with."""
        aliases = {"", "ai.onnx"} if self.node.domain in {"", "ai.onnx"} else {self.node.domain}
        return next(int(o.version) for o in self.model.opset_import if o.domain in aliases)

    @property
    def plain(self) -> bool:
        """Whether every input and output is a tensor."""
        values = [*self.inputs.values(), *self.outputs.values()]
        return all(isinstance(value, np.ndarray) for value in values)


def node_cases() -> Iterator[NodeCase]:
    """Yield the single-node cases in the order of onnx; the first call takes some seconds.

    The models are shared between calls and must not be edited.

    Example:
        >>> case = next(case for case in node_cases() if case.name == "test_relu")
        >>> case.node.op_type, sorted(case.inputs)
        ('Relu', ['x'])
    """
    yield from _collected()


@functools.cache
def _collected() -> tuple[NodeCase, ...]:
    """Import onnx's cases, which reseeds NumPy and computes infinities on the way, and convert."""
    state = np.random.get_state()  # noqa: NPY002 - the legacy generator is what onnx reseeds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415 - slow import

        found = collect_testcases()
    np.random.set_state(state)  # noqa: NPY002
    cases = []
    for case in found:
        model = case.model
        if model is None or len(model.graph.node) != 1 or not case.data_sets:
            continue
        (inputs, outputs), *_ = case.data_sets
        cases.append(
            NodeCase(
                name=case.name,
                model=model,
                inputs=_named(model.graph.input, inputs),
                outputs=_named(model.graph.output, outputs),
                rtol=case.rtol,
                atol=case.atol,
                expanded="_expanded" in case.name,
            )
        )
    return tuple(cases)


def _named(declared: Sequence[onnx.ValueInfoProto], values: Sequence[object]) -> dict[str, Value]:
    return {
        info.name: _converted(value, info.type)
        for info, value in zip(declared, values, strict=True)
    }


def _converted(value: object, kind: onnx.TypeProto) -> Value:
    """Turn what a case holds into arrays: tensors, lists of them, or nothing."""
    if value is None:
        return None
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, list) and kind.WhichOneof("value") != "tensor_type":
        return [_converted(item, kind) for item in value]
    return np.asarray(value)

"""Write an operator once for every consumer, each with the rows of its weights that it wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxprune.core.apart import find_producers
from onnxprune.errors import PlanMismatchError
from onnxprune.rewrite.selects import wanted_indices

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from numpy.typing import NDArray

    from onnxprune.core.cuts import Cuts
    from onnxprune.core.graph import Node
    from onnxprune.core.layout import Layout
    from onnxprune.rewrite.surgeon import Surgeon

    Content = Callable[[], np.ndarray]
    Contents = Callable[[str], tuple[TensorProto, Content]]


def write_apart(
    surgeon: Surgeon, layout: Layout, cuts: Cuts, contents: Contents, shared: Collection[str]
) -> dict[str, Content]:
    """Put operators with rows of their own in the place of Selects.

    The first takes the names of the operator, which is gone then, and of its weights.

    Args:
        surgeon: the graph to edit.
        layout: tells which operators are written so.
        cuts: what remains of every value.
        contents: returns a weight after the cut, as a tensor without and with content.
        shared: weights that others may read under the same name.

    Returns:
        The producers of the new weights, by name.
    """
    arrays: dict[str, Content] = {}
    producers = find_producers(layout.deps) if layout.apart else {}
    for value in sorted(layout.apart):
        producer = producers[value]
        made: dict[bytes, Node] = {}
        for select in producer.selects:
            indices = wanted_indices(cuts, value, select.outputs[0], producer.axis)
            if indices is None:
                indices = np.arange(cuts.size(value, producer.axis))
            key = indices.tobytes()
            if key in made:
                surgeon.bypass(select, made[key])
                continue
            if not len(indices):
                message = f"nothing would remain of {producer.node.where} for a consumer"
                raise PlanMismatchError(message, hint="keep at least one channel of it")
            weights = {}
            for position, axis in producer.rows.items():
                name = producer.node.inputs[position]
                whole, content = contents(name)
                tensor = _with_rows(whole, axis, len(indices))
                own = _rows(content, axis, indices)
                if not made and name not in shared:
                    surgeon.reshape_value("", name, dict(enumerate(tensor.dims)))
                else:
                    tensor.name = surgeon.unique(name)
                if tensor.name == name or surgeon.adds_initializers:
                    arrays[tensor.name] = own
                else:
                    tensor = numpy_helper.from_array(own(), tensor.name)
                weights[position] = tensor
            surgeon.repeat(producer.node, select, weights, first=not made)
            made[key] = select
        surgeon.remove(producer.node)
    return arrays


def _with_rows(whole: TensorProto, axis: int, count: int) -> TensorProto:
    tensor = TensorProto()
    tensor.CopyFrom(whole)
    tensor.dims[axis] = count
    return tensor


def _rows(content: Content, axis: int, indices: NDArray[np.int64]) -> Content:
    return lambda: np.ascontiguousarray(content().take(indices, axis))

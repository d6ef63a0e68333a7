"""Write a cut into a model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto, numpy_helper

from onnxprune.core.cuts import Cuts
from onnxprune.core.layout import Layout, plain_layout
from onnxprune.io.skeleton import is_external, stub_of
from onnxprune.rewrite.ahead import compute_ahead
from onnxprune.rewrite.apart import write_apart
from onnxprune.rewrite.calls import restore_calls
from onnxprune.rewrite.operands import OperandRepair
from onnxprune.rewrite.parameters import ParameterCut
from onnxprune.rewrite.selects import Copy, replace_selects
from onnxprune.rewrite.surgeon import Surgeon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import onnx
    from numpy.typing import NDArray

    from onnxprune.core.cuts import Change
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node, Parameter

    ReadTensor = Callable[[TensorProto], np.ndarray]


@dataclass(frozen=True, slots=True)
class Rewritten:
    """A rewritten model.

    Attributes:
        proto: the model, weights as stubs.
        arrays: producers of the sliced weights, by name.
        copies: nodes that were added because consumers want channels of their own.
    """

    proto: onnx.ModelProto
    arrays: dict[str, Callable[[], np.ndarray]]
    copies: tuple[Copy, ...] = ()


def rewrite(
    proto: onnx.ModelProto,
    read: ReadTensor,
    deps: Dependencies,
    removed: NDArray[np.bool_] | Layout,
    *,
    copies: Mapping[str, str] | None = None,
    original: onnx.ModelProto | None = None,
) -> Rewritten:
    """Take labels out of a model.

    Args:
        proto: the prepared model that was analysed, weights as stubs.
        read: returns the content of a tensor.
        deps: its analysis.
        removed: one flag per label, or how what remains is laid out.
        copies: copied vectors and their originals; equal ones are merged again.
        original: the model before it was prepared; calls of its functions are restored.

    Returns:
        The model with slices of weights, shape operands and attributes changed.

    Raises:
        PlanMismatchError: when the cut cannot be written exactly.
    """
    layout = removed if isinstance(removed, Layout) else plain_layout(deps, removed)
    surgeon = Surgeon(proto)
    surgeon.index(deps.graph)
    cuts = [Cuts(deps.ctx, layout.slots, shapes) for shapes in deps.settings]
    arrays = _parameters(surgeon, read, layout)
    compute_ahead(surgeon, proto, read, layout)
    _merge(surgeon, layout, copies or {}, arrays)
    repair = OperandRepair(deps, cuts, surgeon)
    for graph in deps.graph.walk():
        _declare(surgeon, cuts[0], graph.scope, (*graph.inputs, *graph.parameters))
        for node in graph.nodes:
            change = None if surgeon.is_gone(node) else repair.run(node)
            if change is not None:
                _apply(surgeon, deps, node, change)
            _declare(surgeon, cuts[0], node.scope, node.outputs)
    repair.check_outputs()
    shared = {*(copies or {}), *(copies or {}).values()}
    contents = partial(_whole, read, layout)
    arrays.update(write_apart(surgeon, layout, cuts[0], contents, shared))
    added = replace_selects(surgeon, deps, cuts[0], joined=layout.joined, apart=layout.apart)
    written = surgeon.export()
    if original is not None:
        restore_calls(original, proto, written, surgeon.resized())
    there = {t.name for t in written.graph.initializer}
    return Rewritten(written, {n: a for n, a in arrays.items() if n in there}, added)


def _parameters(
    surgeon: Surgeon, read: ReadTensor, layout: Layout
) -> dict[str, Callable[[], np.ndarray]]:
    deps = layout.deps
    arrays: dict[str, Callable[[], np.ndarray]] = {}
    for graph in deps.graph.walk():
        for key, parameter in graph.parameters.items():
            cut, arrange = _change(layout, key, parameter)
            if not cut.cut and arrange is None:
                continue
            name = key[len(graph.scope) :]
            content = _producer(read, parameter, cut, arrange)
            if graph.scope or parameter.constant:
                array = content()
                tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
            else:
                tensor = _without_content(name, parameter, cut)
                arrays[name] = content
            surgeon.replace_parameter(graph.scope, name, tensor)
    return arrays


def _change(
    layout: Layout, key: str, parameter: Parameter
) -> tuple[ParameterCut, Callable[[np.ndarray], np.ndarray] | None]:
    """Return what leaves of a parameter, and what is done to it before."""
    factors = layout.deps.ctx.sources.get(key, ())
    cut = ParameterCut(key, parameter.shape, factors, layout.slots)
    return cut, None if layout.plain else layout.arrange(key)


def _whole(
    read: ReadTensor, layout: Layout, key: str
) -> tuple[TensorProto, Callable[[], np.ndarray]]:
    """Return an initializer after the cut, without and with content."""
    parameter = layout.deps.graph.parameters[key]
    cut, arrange = _change(layout, key, parameter)
    return _without_content(key, parameter, cut), _producer(read, parameter, cut, arrange)


def _without_content(name: str, parameter: Parameter, cut: ParameterCut) -> TensorProto:
    tensor = parameter.tensor
    return TensorProto(
        name=name, data_type=parameter.dtype, dims=cut.shape, doc_string=tensor.doc_string,
        data_location=_location(tensor),
    )  # fmt: skip


def _location(tensor: TensorProto) -> TensorProto.DataLocation:
    """Return where a tensor's payload lies: in a data file, or in the model as a stub says."""
    outside = is_external(tensor) and stub_of(tensor) is None
    return TensorProto.EXTERNAL if outside else TensorProto.DEFAULT


def _merge(
    surgeon: Surgeon,
    layout: Layout,
    copies: Mapping[str, str],
    arrays: dict[str, Callable[[], np.ndarray]],
) -> None:
    """Let users of a copied vector share again where the copies are equal after the cut."""
    deps = layout.deps
    by_cut: dict[tuple[str, bytes, bytes], str] = {}
    for name in dict.fromkeys((*copies.values(), *copies)):
        keep = np.ones(deps.ctx.parameters[name].shape, bool)
        arranged = b""
        for factor in deps.ctx.sources.get(name, ()):
            flat = keep.reshape(-1)
            flat &= ~layout.slots[factor.labels]
            arranged += layout.holds[deps.roots[factor.labels]].tobytes()
            arranged += (layout.removed & ~layout.cut)[factor.labels].tobytes()
        cut = copies.get(name, name), keep.tobytes(), b"" if layout.plain else arranged
        first = by_cut.setdefault(cut, name)
        if first != name:
            surgeon.merge_parameter(name, first)
            arrays.pop(name, None)


def _producer(
    read: ReadTensor,
    parameter: Parameter,
    cut: ParameterCut,
    arrange: Callable[[np.ndarray], np.ndarray] | None,
) -> Callable[[], np.ndarray]:
    def content() -> np.ndarray:
        array = read(parameter.tensor)
        return cut(array if arrange is None else arrange(array))

    return content


def _apply(surgeon: Surgeon, deps: Dependencies, node: Node, change: Change) -> None:
    if change.gather is not None:
        surgeon.replace_by_gather(node, *change.gather)
        return
    surgeon.set_attributes(node, change.attributes)
    if change.scale_output != 1.0:
        dtype = deps.settings[0].dtypes[node.outputs[0]]
        surgeon.scale_output(node, change.scale_output, dtype)


def _declare(surgeon: Surgeon, cuts: Cuts, scope: str, keys: Iterable[str]) -> None:
    for key in keys:
        sizes = {
            a: cuts.size(key, a) for a in range(len(cuts.old_shape(key))) if cuts.is_cut(key, a)
        }
        if key and sizes:
            surgeon.reshape_value(scope, key[len(scope) :], sizes)

"""Check a rule on its operator: remove what the labels say, run, compare with the masked original.

One node is a whole network here. Its inputs get labels of their own, as if they came from
somewhere, or become weights; a random set of labels that may leave is chosen; inputs are sliced and
the node is updated as in any pruned file. The outputs must be the slices of what the operator gives
when the axes it sums over are zeroed instead. Any difference means that the rule is unsound.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.core.cuts import Cuts
from onnxprune.core.dependencies import analyze_graph
from onnxprune.core.graph import Parameter, build_graph
from onnxprune.core.labels import Factor
from onnxprune.core.shapes import concretize
from onnxprune.core.steps import Limits, SiteTable, make_candidate
from onnxprune.errors import OnnxPruneError
from onnxprune.rewrite import rewrite
from onnxprune.rewrite.mask import masked_model
from onnxprune.runtime.difference import measure
from onnxprune.testing.execution import ENGINES, first_engine
from onnxprune.testing.trials import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from onnxprune.core.context import LabelContext
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labels import Factors
    from onnxprune.runtime.difference import OutputDifference
    from onnxprune.testing.execution import Engine
    from onnxprune.testing.node_cases import Value
    from onnxprune.testing.trials import Style, Trial

    Flags = NDArray[np.bool_]

_TOLERANCE = {2: 2e-2, 1: 2e-1}
"""By bytes of an element; wider types have the default."""
_DEFAULT_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Outcome:
    """What a trial found.

    Attributes:
        removed: number of label sets that left, 0 when there was nothing to check.
        error: what is wrong, "" otherwise.
    """

    removed: int = 0
    error: str = ""


def model_of(trial: Trial) -> onnx.ModelProto:
    """Return the model of a trial: constants are initializers, other inputs have fixed shapes."""
    model = onnx.ModelProto()
    model.CopyFrom(trial.case.model)
    inputs = list(model.graph.input)
    del model.graph.input[:]
    for info in inputs:
        value = trial.case.inputs[info.name]
        if info.name in trial.constants:
            array = np.asarray(value)
            flat = np.ascontiguousarray(array).reshape(array.shape)  # scalars stay scalars
            model.graph.initializer.append(numpy_helper.from_array(flat, info.name))
        elif isinstance(value, np.ndarray):
            kind = info.type.tensor_type.elem_type
            model.graph.input.append(helper.make_tensor_value_info(info.name, kind, value.shape))
        else:
            model.graph.input.append(info)
    for output in model.graph.output:
        if output.type.HasField("tensor_type"):
            output.type.tensor_type.ClearField("shape")
    return model


def analyze_trial(trial: Trial, model: onnx.ModelProto) -> Dependencies:
    """Analyse the model of a trial, with labels on all its inputs."""

    def label(ctx: LabelContext) -> None:
        for name in sorted(plain(trial.case) - trial.constants):
            label_input(ctx, name, trial.styles.get(name), trial.seed)

    graph = build_graph(model)
    return analyze_graph(graph, concretize(graph, numpy_helper.to_array, [{}]), label_inputs=label)


def label_input(ctx: LabelContext, name: str, style: Style | None, seed: int) -> None:
    """Give an input the labels that a weight of its shape would have, or unusual ones."""
    shape = ctx.shape(name) or ()
    stub = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    ctx.parameters[name] = Parameter(name, stub, shape)
    if style is None or any(shape[a] < 2 for a in style.axes):
        return
    rng = np.random.default_rng((seed, *shape))
    factors: list[Factor] = []
    for axis, size in enumerate(shape):
        if axis in style.axes or size < 2:
            continue
        labels = ctx.fresh(size)
        if style.kind == "mixed":
            labels = np.append(labels, 0)[rng.integers(0, size + 1, size)]
        factors.append(Factor((axis,), labels))
    if style.axes:
        first, second = style.axes
        both = Factor(style.axes, ctx.fresh(shape[first], shape[second]))
        ctx.balances.setdefault(id(both.labels), both)
        factors.append(both)
        if style.kind == "rows":
            factors.append(Factor((first,), ctx.fresh(shape[first]), 1))
    ctx.sources[name] = ctx.factors_of[name] = tuple(factors)


def check(trial: Trial, engines: Sequence[Engine] = ENGINES) -> Outcome:
    """Remove something and compare, in the first engine that runs the case."""
    try:
        model = model_of(trial)
        deps = analyze_trial(trial, model)
        rng = np.random.default_rng(trial.seed)
        removed, count = choose(deps, rng, approximate=trial.approximate)
        if not count:
            return Outcome()
        full = {n: v for n, v in trial.case.inputs.items() if n not in trial.constants}
        found = first_engine(masked_model(model, deps, removed), full, engines)
        if found is None:
            return Outcome()  # nothing runs it, so nothing can be compared
        engine, wanted = found
        rewritten = rewrite(model, numpy_helper.to_array, deps, removed)
        for tensor in rewritten.proto.graph.initializer:
            if tensor.name in rewritten.arrays:
                array = np.ascontiguousarray(rewritten.arrays[tensor.name]())
                tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
        feed = {n: sliced(v, deps.ctx.factors_of.get(n, ()), removed) for n, v in full.items()}
        seen = engine(rewritten.proto, feed)
    except OnnxPruneError as error:
        return Outcome(1, f"{type(error).__name__}: {error}")
    for name, arrays in wanted.items():
        factors = deps.ctx.factors_of.get(name, ())
        expected = [None if a is None else cut(a, factors, removed) for a in arrays]
        problem = _difference(trial, measure(name, expected, seen.get(name)), arrays)
        if problem:
            return Outcome(count, f"output {name}: {problem}")
    return Outcome(count)


def choose(
    deps: Dependencies, rng: np.random.Generator, *, approximate: bool = False
) -> tuple[Flags, int]:
    """Draw what leaves: a flag per label, and the number of label sets."""
    sites = SiteTable(deps)
    chosen: list[NDArray[np.int64]] = []
    groups = [g for g in deps.groups if g.exact or approximate]
    for group in groups:
        if len(groups) > 1 and rng.random() < 0.3:
            continue
        candidate = make_candidate(deps, group, rng.random(group.size), sites, Limits())
        if candidate.limit:
            chosen.append(candidate.atoms(int(rng.integers(1, candidate.limit + 1))))
    while True:
        atoms = np.concatenate([np.zeros(0, np.int64), *chosen])
        removed = deps.removed_labels(atoms)
        if not sites.emptied(removed) and not _emptied(deps, removed):
            return removed, len(atoms)
        chosen.pop()


def _emptied(deps: Dependencies, removed: Flags) -> bool:
    """Tell whether rows and elements together leave nothing of some axis."""
    cuts = Cuts(deps.ctx, removed, deps.settings[0])
    return any(
        0 in cuts.shape(key) and 0 not in cuts.old_shape(key)
        for key, factors in deps.ctx.factors_of.items()
        if factors
    )


def sliced(value: Value, factors: Factors, removed: Flags) -> Value:
    """Return what remains of an input; sequences and optional values carry no labels."""
    return cut(value, factors, removed) if isinstance(value, np.ndarray) else value


def cut(value: np.ndarray, factors: Factors, removed: Flags) -> np.ndarray:
    """Return what remains of a value, from its labels alone."""
    if not value.size:
        return np.zeros([_size(value, a, factors, removed) for a in range(value.ndim)], value.dtype)
    masks = []
    for factor in sorted(factors, key=lambda f: len(f.axes)):
        axes = sorted(factor.axes)
        sizes = [s if a in axes else 1 for a, s in enumerate(value.shape)]
        keep = ~removed[factor.labels].transpose([factor.axes.index(a) for a in axes])
        masks.append((factor.axes[-1], np.broadcast_to(keep.reshape(sizes), value.shape)))
    arrays = [value, *(m for _, m in masks)]
    for number, (axis, _) in enumerate(masks):
        keep = np.moveaxis(arrays[number + 1], axis, -1)
        counts = keep.sum(-1)
        if counts.size and (counts != counts.flat[0]).any():
            message = f"rows along axis {axis} would keep different numbers of elements"
            raise OnnxPruneError(message)
        shape = (*keep.shape[:-1], int(counts.flat[0]) if counts.size else 0)
        arrays = [
            np.moveaxis(np.moveaxis(a, axis, -1)[keep].reshape(shape), -1, axis) for a in arrays
        ]
    return arrays[0]


def _size(value: np.ndarray, axis: int, factors: Factors, removed: Flags) -> int:
    kept = np.ones(value.shape[axis], bool)
    for factor in factors:
        if factor.axes[-1] == axis:
            kept &= ~removed[factor.labels].reshape(-1, len(kept))[0]
    return int(kept.sum())


def _difference(trial: Trial, found: OutputDifference, arrays: list[np.ndarray | None]) -> str:
    if not found.shapes_equal or not found.dtypes_equal:
        return found.detail
    if trial.approximate:
        return ""
    if found.mismatches or found.nonfinite_mismatches:
        return (
            f"{found.mismatches + found.nonfinite_mismatches} of {found.elements} elements differ"
        )
    widths = [
        a.dtype.itemsize for a in itertools.chain(arrays, trial.case.inputs.values())
        if isinstance(a, np.ndarray) and a.dtype.kind in "fV"
    ]  # fmt: skip
    tolerance = _TOLERANCE.get(min(widths, default=4), _DEFAULT_TOLERANCE)
    if found.max_abs > tolerance * max(found.scale, 1e-3):
        return f"differs by {found.max_abs:.3g} where values reach {found.scale:.3g}"
    return ""

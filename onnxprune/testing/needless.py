"""Find axes that a rule freezes although slicing them would have been right.

The price of caution: an index is taken out of an input by brute force, alone or together with an
axis of the same size of each other input, and the outputs are compared with the original ones
without that index, or with those of an input that is zero there.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.errors import OnnxPruneError
from onnxprune.testing.execution import first_engine
from onnxprune.testing.soundness import analyze_trial, model_of
from onnxprune.testing.trials import Trial, operand_inputs, plain, unfed_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.testing.execution import Engine
    from onnxprune.testing.node_cases import NodeCase, Value

    Feed = dict[str, Value]
    Choice = dict[str, int]

MOST_PARTNERS = 64


def needlessly_frozen(case: NodeCase) -> list[tuple[str, int]]:
    """Return the inputs and axes of a case that could have lost an index.

    Example:
        >>> from onnxprune.testing.made_cases import made_case
        >>> needlessly_frozen(made_case("relu", "Relu", [np.ones((2, 3), np.float32)]))
        []
    """
    constants = (operand_inputs(case) | unfed_inputs(case)) & plain(case)
    trial = Trial(case, constants)
    model = model_of(trial)
    deps = analyze_trial(trial, model)
    feeds = [{n: v for n, v in f.items() if n not in constants} for f in _contents(case)]
    frozen = list(_frozen(deps, sorted(plain(case) - constants)))
    found = first_engine(_any_size(model), feeds[0]) if frozen else None
    if found is None:
        return []
    return [place for place in frozen if _could_leave(_any_size(model), found[0], feeds, place)]


def _frozen(deps: Dependencies, names: list[str]) -> Iterator[tuple[str, int]]:
    """Yield axes none of whose indices may leave."""
    for name in names:
        for axis, size in enumerate(deps.ctx.shape(name) or ()):
            labels = [f.labels.ravel() for f in deps.ctx.sources.get(name, ()) if axis in f.axes]
            roots = np.unique(deps.roots[np.concatenate([np.zeros(1, np.int64), *labels])])
            if size > 1 and not set(roots.tolist()) - {0} - deps.frozen.keys():
                yield name, axis


def _contents(case: NodeCase) -> Iterator[Feed]:
    """Yield the inputs of a case, and others that no lucky content can hide behind."""
    yield dict(case.inputs)
    rng = np.random.default_rng(0)
    yield {
        n: (rng.standard_normal(v.shape) - 1).astype(v.dtype)
        if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        else v
        for n, v in case.inputs.items()
    }


def _any_size(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = type(model)()
    copy.CopyFrom(model)
    for info in copy.graph.input:
        for number, dim in enumerate(info.type.tensor_type.shape.dim):
            dim.dim_param = f"{info.name}_{number}"
    return copy


def _could_leave(
    model: onnx.ModelProto, engine: Engine, feeds: list[Feed], place: tuple[str, int]
) -> bool:
    """Tell whether some way to take indices out gives the right outputs for all of them."""
    name, axis = place
    size = np.shape(feeds[0][name])[axis]  # type: ignore[arg-type]
    picks = sorted({0, size // 2, size - 1})
    others = [
        [(n, None), *((n, a) for a, s in enumerate(v.shape) if s == size)]
        for n, v in feeds[0].items()
        if n != name and isinstance(v, np.ndarray)
    ]
    for partners in itertools.islice(itertools.product(*others), MOST_PARTNERS):
        choice = {name: axis, **{n: a for n, a in partners if a is not None}}
        if all(_fits(model, engine, f, name, choice, i) for f in feeds for i in picks):
            return True
    return False


def _fits(
    model: onnx.ModelProto, engine: Engine, feed: Feed, name: str, choice: Choice, index: int
) -> bool:
    less, zeroed = dict(feed), np.array(feed[name])
    for other, axis in choice.items():
        less[other] = np.delete(np.asarray(feed[other]), index, axis)
    np.moveaxis(zeroed, choice[name], 0)[index] = 0
    try:
        seen = engine(model, less)
        whole, masked = engine(model, feed), engine(model, {**feed, name: zeroed})
    except (OnnxPruneError, MemoryError):
        return False
    return all(_matches(whole[o], masked[o], seen[o], index) for o in whole)


def _matches(
    whole: list[np.ndarray | None],
    masked: list[np.ndarray | None],
    seen: list[np.ndarray | None],
    index: int,
) -> bool:
    if not len(whole) == len(masked) == len(seen):
        return False
    for full, zero, now in zip(whole, masked, seen, strict=True):
        if full is None or zero is None or now is None:
            return False
        candidates = [zero]
        candidates += [
            np.delete(v, index, a)
            for v in (full, zero)
            for a in range(v.ndim)
            if index < v.shape[a]
        ]
        if not any(_equal(c, now) for c in candidates):
            return False
    return True


def _equal(wanted: np.ndarray, seen: np.ndarray) -> bool:
    if wanted.shape != seen.shape or wanted.dtype.kind not in "fiub":
        return False
    if wanted.dtype.kind != "f":
        return bool(np.array_equal(wanted, seen))
    return bool(np.allclose(wanted, seen, rtol=1e-3, atol=1e-5, equal_nan=True))

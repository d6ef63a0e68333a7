"""What the models are run on, and what there is to know about them without running them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onnx import TensorProto

from onnxprune.analysis.probe import candidates, compared_values, probe
from onnxprune.core.graph import build_graph
from onnxprune.core.macs import macs_by_node
from onnxprune.errors import InvalidConfigError, InvalidModelError, printable
from onnxprune.io import load_model
from onnxprune.rewrite.prepare import prepare
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import InputSpec, input_specs
from onnxprune.runtime.session import open_session, run_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from onnxprune.core.graph import Graph

__all__ = [
    "Subject",
    "batch_symbols",
    "first_running",
    "make_recipe",
    "possible_sizes",
    "read_subject",
]

_MOST_SIZES: Final = 24

# Of values computed in these types, relative to the largest output.
_ROUNDING: Final[dict[int, float]] = {
    TensorProto.FLOAT16: 1e-2,
    TensorProto.BFLOAT16: 5e-2,
    TensorProto.INT8: 2e-2,
    TensorProto.UINT8: 2e-2,
}
_TIME: Final = re.compile(r"seq|time|frame|len|token|step|audio|wav", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subject:
    """A model to measure.

    Attributes:
        path: The file.
        bytes: Its size, external data included.
        inputs: What it is fed with.
        dims: Sizes of its symbolic dimensions.
        graph: Its nodes.
        macs: Multiply-accumulates by node, at those sizes.
        rounding: What its coarsest element type explains of a difference between two machines.
        chosen: By integer input, a value that it is compared with: a sampling rate, say.
    """

    path: str
    bytes: int
    inputs: tuple[InputSpec, ...]
    dims: dict[str, int]
    graph: Graph
    macs: dict[str, int]
    rounding: float
    chosen: dict[str, int]

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates of one run."""
        return sum(self.macs.values())


def batch_symbols(inputs: Sequence[InputSpec]) -> list[str]:
    """Return the symbolic dimensions that are a batch: first axes that are no time."""
    found = [
        spec.dims[0]
        for spec in inputs
        if spec.dims and len(spec.dims) > 1 and isinstance(spec.dims[0], str)
    ]
    return [symbol for symbol in dict.fromkeys(found) if not _TIME.search(_own_name(symbol))]


def read_subject(path: Path, *, dims: Mapping[str, int], batch: int | None) -> Subject:
    """Read a model and choose sizes at which it fits together.

    Args:
        path: The file.
        dims: Sizes of symbolic dimensions; those that it does not have are left out.
        batch: Size of the batch where that is open, one by default.

    Raises:
        InvalidModelError: The file is no usable model.
        InvalidConfigError: The batch is not open.
    """
    model = load_model(path)
    proto, _ = prepare(model.proto)
    inputs = input_specs(proto)
    symbols = {d for spec in inputs for d in spec.dims or () if isinstance(d, str)}
    batches = batch_symbols(inputs)
    if batch is not None and not batches:
        message = f"'{printable(path)}' has no open batch dimension, wanted is a batch of {batch}"
        raise InvalidConfigError(message, hint="name the dimension with --dims")
    given = dict.fromkeys(batches, batch or 1) | {s: n for s, n in dims.items() if s in symbols}
    graph = build_graph(proto)
    [sizes, *_], [shapes, *_] = probe(inputs, graph, model.array, given)
    return Subject(
        path=str(path),
        bytes=model.size_bytes,
        inputs=inputs,
        dims=dict(sizes),
        graph=graph,
        macs=macs_by_node(graph, shapes),
        rounding=max((_ROUNDING.get(kind or 0, 0.0) for kind in shapes.dtypes.values()), default=0),
        chosen=compared_values(graph, model.array),
    )


def possible_sizes(subject: Subject, dims: Mapping[str, int]) -> list[dict[str, int]]:
    """Return sizes to try, the likeliest first: shapes that fit together may still not run.

    Args:
        subject: A model.
        dims: Sizes that the user wants, batches included.
    """
    found = [subject.dims]
    for setting, *_ in candidates(subject.inputs, dims):
        if setting not in found and len(found) < _MOST_SIZES:
            found.append(dict(setting))
    return found


def first_running(model: str, recipes: Sequence[FeedRecipe]) -> int:
    """Return the number of the first recipe that a model runs on, on the CPU provider.

    Meant for a child process.

    Raises:
        InvalidModelError: There is none; the error is that of the first.
    """
    session = open_session(model, optimize=True)
    first: InvalidModelError | None = None
    for number, recipe in enumerate(recipes):
        try:
            run_outputs(session, recipe.make())
        except InvalidModelError as error:
            first = first or error
        else:
            return number
    assert first is not None
    raise first


def make_recipe(subjects: Sequence[Subject], *, seed: int) -> FeedRecipe:
    """Return the values that all models are run on.

    Raises:
        InvalidModelError: The models do not take the same inputs.
    """
    first, *others = subjects
    ranges = {name: (float(value), value + 1.0) for name, value in first.chosen.items()}
    recipe = FeedRecipe(first.inputs, first.dims, seed, ranges)
    shapes = {spec.name: spec for spec in first.inputs}
    for other in others:
        for spec in other.inputs:
            known = shapes.get(spec.name)
            if known is None or not _same(known, spec, first.dims):
                message = f"'{printable(other.path)}' takes another input than "
                message += f"'{printable(first.path)}': '{printable(spec.name)}'"
                raise InvalidModelError(message, hint="only models with the same inputs compare")
        if len(other.inputs) != len(first.inputs):
            message = f"'{printable(other.path)}' has {len(other.inputs)} inputs, "
            message += f"'{printable(first.path)}' has {len(first.inputs)}"
            raise InvalidModelError(message, hint="only models with the same inputs compare")
    return recipe


def _same(one: InputSpec, other: InputSpec, sizes: Mapping[str, int]) -> bool:
    if one.dtype != other.dtype or one.container != other.container:
        return False
    if one.dims is None or other.dims is None:
        return one.dims == other.dims
    return len(one.dims) == len(other.dims) and all(
        isinstance(b, str) or (sizes[a] if isinstance(a, str) else a) == b
        for a, b in zip(one.dims, other.dims, strict=True)
    )


def _own_name(symbol: str) -> str:
    """Return a symbol, "" for one that stands for a dimension without a name."""
    return "" if ":" in symbol else symbol

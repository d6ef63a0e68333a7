"""Write what a phone needs, and say what will run where."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnx import ModelProto, TensorProto

from onnxprune.bench.run import require_known, runnable
from onnxprune.bench.workload import make_recipe
from onnxprune.core.graph import build_graph
from onnxprune.core.macs import macs_by_node
from onnxprune.core.shapes import concretize
from onnxprune.errors import InvalidConfigError, InvalidModelError, VerificationError, printable
from onnxprune.io import load_model, write_model
from onnxprune.io.outfile import check_destination, new_files
from onnxprune.mobile.document import FileEntry, MobileReport
from onnxprune.mobile.placement import Network, judge
from onnxprune.mobile.support import supports
from onnxprune.runtime.isolate import run_isolated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.core.graph import Graph
    from onnxprune.core.shapes import Shapes
    from onnxprune.io import Model
    from onnxprune.runtime.compare import Comparison
    from onnxprune.runtime.difference import OutputDifference
    from onnxprune.runtime.feeds import FeedRecipe

_TIMEOUT_S = 600.0
_MEMORY_BYTES = 16 << 30
_TOLERANCE = 1e-3
_QUANTIZED = ("QuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger")


def prepare_for_mobile(
    model: str | Path, output: str | Path, *, dims: Mapping[str, int] | None = None
) -> MobileReport:
    """Write a copy with fixed sizes and two in ONNX Runtime's format; judge every mobile provider.

    Each file is compared with the model before it gets its name.

    Args:
        model: the file.
        output: a directory, which is made; files in it get the model's name.
        dims: sizes of symbolic dimensions; others are chosen, a batch of one.

    Raises:
        InvalidModelError: the file is no usable model.
        InvalidConfigError: `dims` names a dimension that there is not, or the output is no place.
        VerificationError: a file would not do what the model does; it is not written.
    """
    path, folder = Path(model), Path(output)
    subject = runnable(path, dims=dims or {}, batch=None)
    require_known(dims or {}, [subject])
    source = load_model(path)
    if folder.exists() and not folder.is_dir():
        message = f"'{printable(folder)}' is no directory"
        raise InvalidConfigError(message, hint="give a directory with -o")
    folder.mkdir(parents=True, exist_ok=True)
    recipe = make_recipe([subject], seed=0)
    fixed = folder / f"{path.stem}.fixed.onnx"
    [shapes] = concretize(build_graph(source.proto), source.array, [subject.dims])
    written = write_model(_with_sizes(source, subject.dims, shapes), fixed, source=source)
    files = [
        FileEntry(
            path=str(fixed), bytes=written.size_bytes,
            purpose="fixed sizes: for converters, and for providers that want ONNX",
            max_rel=_compared(path, fixed, recipe),
        )
    ]  # fmt: skip
    notes = []
    for suffix, fuse, purpose in (
        ("cpu", True, "ONNX Runtime's format, operators fused: for the CPU provider"),
        ("basic", False, "ONNX Runtime's format, operators as they are: for all other providers"),
    ):
        target = folder / f"{path.stem}.{suffix}.ort"
        try:
            files.append(_converted(fixed, target, recipe, fuse, purpose))
        except (InvalidModelError, VerificationError) as error:
            notes.append(f"'{printable(target.name)}' was not written: {error.message}")
    graph = build_graph(load_model(fixed).proto)
    network = Network(graph, shapes, macs_by_node(graph, shapes), _precision(graph, shapes))
    return MobileReport(
        model=str(path),
        dims=dict(subject.dims),
        precision=network.precision,
        files=files,
        placements=[judge(network, support) for support in supports()],
        notes=[*notes, *_notes(network)],
    )


def _with_sizes(source: Model, dims: Mapping[str, int], shapes: Shapes) -> ModelProto:
    """Return the model with sizes in the place of symbols, and none that contradict them."""
    proto = ModelProto()
    proto.CopyFrom(source.proto)
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.value_info):
        if not value.type.HasField("tensor_type"):
            continue
        known = shapes.shape(value.name)
        shape = value.type.tensor_type.shape
        if known is not None and len(known) == len(shape.dim):
            for dim, size in zip(shape.dim, known, strict=True):
                dim.dim_value = size
        else:
            for dim in shape.dim:
                if dim.dim_param in dims:
                    dim.dim_value = dims[dim.dim_param]
    return proto


def _compared(original: Path, other: Path, recipe: FeedRecipe) -> float | None:
    comparison: Comparison = _isolated(
        "onnxprune.runtime.compare:compare_models", f"comparing {printable(other.name)}",
        original=str(original), pruned=str(other), feeds=[recipe], optimize=[False],
    )  # fmt: skip
    return _difference(comparison, other)


def _converted(
    model: Path, target: Path, recipe: FeedRecipe, fuse: bool, purpose: str  # noqa: FBT001
) -> FileEntry:  # fmt: skip
    check_destination(target, ())
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".onnxprune-") as folder:
        made = Path(folder) / target.name
        comparison: Comparison = _isolated(
            "onnxprune.runtime.mobile:convert", f"writing {printable(target.name)}",
            model=str(model), target=str(made), fuse=fuse, recipe=recipe,
        )  # fmt: skip
        difference = _difference(comparison, target)
        content = made.read_bytes()
    with new_files(target) as [file]:
        file.write(content)
    return FileEntry(path=str(target), bytes=len(content), purpose=purpose, max_rel=difference)


def _difference(comparison: Comparison, path: Path) -> float | None:
    outputs = [o for level in comparison.levels for o in level.outputs]
    largest = max((o.max_rel for o in outputs), default=0.0)
    bad = next((o for o in outputs if not _agrees(o)), None)
    if bad is not None:
        message = f"'{printable(path)}' was not kept: output '{printable(bad.name)}' differs by "
        message += f"{bad.max_rel:.1e} of its largest value"
        raise VerificationError(message)
    return largest


def _agrees(output: OutputDifference) -> bool:
    same = output.shapes_equal and output.dtypes_equal
    return same and not output.nonfinite_mismatches and output.max_rel <= _TOLERANCE


def _isolated(function: str, task: str, **kwargs: Any) -> Any:  # noqa: ANN401  # of the function
    return run_isolated(
        function, kwargs, timeout_s=_TIMEOUT_S, memory_limit_bytes=_MEMORY_BYTES, task=task
    )


def _precision(graph: Graph, shapes: Shapes) -> str:
    if any(node.op in _QUANTIZED for node in graph.all_nodes()):
        return "QDQ" if any(n.op == "DequantizeLinear" for n in graph.all_nodes()) else "int8"
    kinds = {parameter.dtype for parameter in graph.parameters.values()} | set(
        filter(None, shapes.dtypes.values())
    )
    return "float16" if TensorProto.FLOAT16 in kinds else "float32"


def _notes(network: Network) -> list[str]:
    notes = ["nothing here ran on a phone: what a provider takes is judged from lists of operators"]
    if network.precision != "QDQ":
        notes.append("NPUs want 8-bit QDQ models: quantise after pruning, then look again")
    return notes

"""Operators that are written once for every consumer: exact, counted, replayed, refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from safetensors.numpy import save_file

import onnxprune
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.core.apart import find_producers, repeated
from onnxprune.core.graph import build_graph
from onnxprune.core.layout import plain_layout
from onnxprune.core.macs import macs_by_node
from onnxprune.core.shapes import concretize
from onnxprune.costs import DefaultCosts
from onnxprune.errors import PlanMismatchError
from onnxprune.io import write_model
from onnxprune.planning.layouts import make_layout
from onnxprune.planning.options import make_settings
from onnxprune.planning.selection import make_plan
from onnxprune.rewrite import rewrite
from onnxprune.testing.shared_channels import HIDDEN, WIDTH, Net
from onnxprune.verification import verify_cut

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnxprune.analysis import Analysis
    from onnxprune.core.layout import Layout
    from onnxprune.rewrite import Rewritten

DEAR = DefaultCosts(copied_per_us=1.0, call_us=1e-3, block=1, unit=1)
"""Copies that take longer than anything else."""


def bottleneck() -> onnx.ModelProto:
    """Make a convolution that a layer and a sum read."""
    net = Net()
    x = net.conv("x", 3, WIDTH)
    inner = net.node("Relu", net.conv(x, WIDTH, HIDDEN))
    total = net.node("Add", net.conv(inner, HIDDEN, WIDTH), x)
    flat = net.node("Flatten", net.node("GlobalAveragePool", total))
    return net.model(net.node("MatMul", flat, net.weight(WIDTH, 5)), 5)


def heads(op: str) -> Callable[[], onnx.ModelProto]:
    """Make a product that three others read."""

    def make() -> onnx.ModelProto:
        net = Net()
        flat = net.node("Flatten", net.node("GlobalAveragePool", net.conv("x", 3, WIDTH)))
        turned = op == "Gemm transB"
        weight = net.weight(*((WIDTH, HIDDEN)[:: -1 if turned else 1]))
        if op == "MatMul":
            x = net.node("MatMul", flat, weight)
        else:
            x = net.node("Gemm", flat, weight, net.weight(1, HIDDEN), transB=int(turned))
        read = [net.node("MatMul", x, net.weight(HIDDEN, 5)) for _ in range(3)]
        return net.model(net.node("Sum", *read), 5)

    return make


def transposed() -> onnx.ModelProto:
    """Make a transposed convolution that two layers read."""
    net = Net()
    x = net.node("ConvTranspose", net.conv("x", 3, WIDTH), net.weight(WIDTH, HIDDEN, 2, 2))
    total = net.node("Add", net.conv(x, HIDDEN, 6), net.conv(x, HIDDEN, 6, 1))
    flat = net.node("Flatten", net.node("GlobalMaxPool", net.node("Relu", total)))
    return net.model(net.node("MatMul", flat, net.weight(6, 5)), 5)


NETS = {
    "Conv": bottleneck, "ConvTranspose": transposed, "MatMul": heads("MatMul"),
    "Gemm": heads("Gemm"), "Gemm transB": heads("Gemm transB"),
}  # fmt: skip


@pytest.fixture(params=NETS)
def forked(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(NETS[request.param](), path)
    return path


@pytest.fixture
def conv(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(bottleneck(), path)
    return path


def removed_at_random(analysis: Analysis, seed: int = 0) -> np.ndarray:
    settings = make_settings({"ratio": 0.5, "criterion": "random", "seed": seed})
    return analysis.removed_labels(make_plan(analysis, settings))


def written_exactly(
    analysis: Analysis, layout: Layout, folder: Path
) -> tuple[Rewritten, onnx.ModelProto]:
    made = rewrite(
        analysis.proto, analysis.model.array, analysis.deps, layout, copies=analysis.copies
    )
    path = folder / "out.onnx"
    write_model(made.proto, path, source=analysis.model, arrays=made.arrays)
    assert verify_cut(analysis, layout.removed, path).exact
    written = onnx.load(path)
    onnx.checker.check_model(written, full_check=True)
    return made, written


@pytest.mark.parametrize("seed", range(3))
def test_files_are_exact_and_as_heavy_as_counted(forked: Path, tmp_path: Path, seed: int) -> None:
    analysis = expand(analyze_model(forked))
    deps, removed = analysis.deps, removed_at_random(analysis, seed)
    producers = find_producers(deps)
    assert len(producers) == 1
    layout = replace(plain_layout(deps, removed), apart=frozenset(producers))
    made, written = written_exactly(analysis, layout, tmp_path)
    assert not made.copies
    assert not producers.keys() & {o for n in written.graph.node for o in n.output}
    more = repeated(deps, layout.cut, layout.apart)
    graph = build_graph(written)
    sizes = concretize(graph, analysis.model.array, [dict(analysis.dims[0])])[0]
    floats = (p for p in graph.parameters.values() if p.dtype == onnx.TensorProto.FLOAT)
    assert sum(int(np.prod(p.shape)) for p in floats) == (
        analysis.cost(layout.cut).params + more.params
    )
    assert sum(macs_by_node(graph, sizes).values()) == analysis.cost(layout.cut).macs + more.macs


def with_inputs(model: onnx.ModelProto) -> None:
    """Declare every weight as an input, as old versions want it."""
    model.ir_version = 3
    model.opset_import[0].version = 8
    for tensor in model.graph.initializer:
        info = onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(info)


def with_a_shared_bias(model: onnx.ModelProto) -> None:
    """Let the last convolution have the bias of the first."""
    first, *_, last = (n for n in model.graph.node if n.op_type == "Conv")
    last.input[2] = first.input[2]


def with_notes(model: onnx.ModelProto) -> None:
    """Say something of the first convolution and its output, and declare shapes."""
    model.CopyFrom(onnx.shape_inference.infer_shapes(model))
    for name in (model.graph.node[0].output[0], model.graph.node[-1].output[0]):
        said = model.graph.quantization_annotation.add(tensor_name=name)
        said.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="w0")
    model.graph.node[0].doc_string = "stem"


@pytest.mark.parametrize("change", [with_inputs, with_a_shared_bias, with_notes])
def test_names_notes_and_shapes_stay_right(
    change: Callable[[onnx.ModelProto], None], tmp_path: Path
) -> None:
    model = bottleneck()
    change(model)
    onnx.save(model, tmp_path / "net.onnx")
    analysis = expand(analyze_model(tmp_path / "net.onnx"))
    deps, removed = analysis.deps, removed_at_random(analysis)
    layout = replace(plain_layout(deps, removed), apart=frozenset(find_producers(deps)))
    assert layout.apart
    _, written = written_exactly(analysis, layout, tmp_path)
    [first] = [n for n in written.graph.node if n.name == model.graph.node[0].name]
    assert first.doc_string == model.graph.node[0].doc_string
    made_there = {o for n in written.graph.node for o in n.output}
    assert {v.name for v in written.graph.value_info} <= made_there
    said_of = {a.tensor_name for a in written.graph.quantization_annotation}
    assert said_of == {a.tensor_name for a in model.graph.quantization_annotation} & made_there


def test_it_is_done_where_copies_are_dear(conv: Path) -> None:
    analysis = expand(analyze_model(conv))
    removed = removed_at_random(analysis)
    assert make_layout(analysis.deps, removed, costs=DEAR).apart
    assert make_layout(analysis.deps, removed, costs=DEAR, max_copies=0).apart
    assert not make_layout(analysis.deps, removed, costs=DEAR, pad=False).apart
    assert not make_layout(
        analysis.deps, removed, costs=DEAR, enough=lambda layout: not layout.apart
    ).apart
    cheap = DefaultCosts(copied_per_us=1e9, call_us=1e-6, block=1, unit=1)
    assert not make_layout(analysis.deps, removed, costs=cheap).apart


def test_a_plan_that_asks_for_the_impossible_is_refused(conv: Path, tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "out.onnx"
    onnxprune.prune(conv, out, ratio=0.5, coupling="unconstrained", plan_out=plan)
    edited = json.loads(plan.read_text())
    value = next(iter(find_producers(expand(analyze_model(conv)).deps)))
    edited["apart"] = [value]
    plan.write_text(json.dumps(edited))
    onnxprune.apply(conv, plan, out)
    assert onnxprune.verify(conv, out, plan=plan).exact
    edited["apart"] = ["relu_1"]
    plan.write_text(json.dumps(edited))
    with pytest.raises(PlanMismatchError, match="'relu_1' several times"):
        onnxprune.apply(conv, plan, out)


@pytest.mark.parametrize("name", ["conv_0", "nonsense"])
@pytest.mark.parametrize("coupling", ["constrained", "unconstrained"])
def test_a_plan_whose_parts_contradict_each_other_is_refused(
    coupling: Literal["constrained", "unconstrained"], name: str, conv: Path, tmp_path: Path
) -> None:
    plan = onnxprune.plan(conv, ratio=0.5, coupling=coupling)
    edited = plan.model_copy(update={"apart": [name], "layout": None})
    path = tmp_path / "plan.json"
    path.write_text(edited.to_json())
    weights = {t.name: numpy_helper.to_array(t) for t in onnx.load(conv).graph.initializer}
    save_file(weights, tmp_path / "in.safetensors")
    with pytest.raises(PlanMismatchError, match="does not go with what it lists"):
        onnxprune.apply(conv, path, tmp_path / "out.onnx")
    with pytest.raises(PlanMismatchError, match=r"does not go with|channels of their own"):
        onnxprune.apply_to_state_dict(
            conv, path, tmp_path / "in.safetensors", tmp_path / "out.safetensors"
        )
    with pytest.raises(PlanMismatchError, match="does not go with what it lists"):
        onnxprune.order(conv, plan=path)
    assert not {"out.onnx", "out.safetensors"} & {p.name for p in tmp_path.iterdir()}


def test_a_checkpoint_is_not_cut_where_consumers_have_rows_of_their_own(
    conv: Path, tmp_path: Path
) -> None:
    plan = onnxprune.plan(conv, ratio=0.5, coupling="unconstrained")
    value = next(iter(find_producers(expand(analyze_model(conv)).deps)))
    plan = plan.model_copy(update={"apart": [value]})
    weights = {t.name: numpy_helper.to_array(t) for t in onnx.load(conv).graph.initializer}
    save_file(weights, tmp_path / "in.safetensors")
    with pytest.raises(PlanMismatchError, match="channels of their own"):
        onnxprune.apply_to_state_dict(
            conv, plan, tmp_path / "in.safetensors", tmp_path / "out.safetensors"
        )
    assert not (tmp_path / "out.safetensors").exists()


def test_a_report_has_layers_as_they_are_written(forked: Path, tmp_path: Path) -> None:
    free = expand(analyze_model(forked))
    plan = onnxprune.plan(forked, ratio=0.5, coupling="unconstrained", criterion="random")
    producers = list(find_producers(free.deps))
    plan = plan.model_copy(update={"apart": producers, "joined": None, "layout": []})
    report = onnxprune.apply(forked, plan, tmp_path / "out.onnx")
    graph = onnx.load(tmp_path / "out.onnx").graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    several = 0
    for layer in report.layers:
        names = [n for n in shapes if n == layer.weight or n.startswith(f"{layer.weight}_")]
        assert layer.times == len(names)
        assert np.prod(layer.shape_after) == sum(np.prod(shapes[n]) for n in names)
        several += layer.times > 1
    assert several == 1
    assert sum(layer.macs_after for layer in report.layers) == report.output.macs

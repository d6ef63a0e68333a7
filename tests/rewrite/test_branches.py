"""Residual branches: which there are, and that a model does the same without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from onnxprune import pipeline
from onnxprune.analysis import Analysis, analyze_model
from onnxprune.core.branches import dead_nodes
from onnxprune.core.plan import PlanBranch, PrunePlan
from onnxprune.errors import PlanMismatchError
from onnxprune.io import load_model
from onnxprune.report.analysis import count_params
from onnxprune.rewrite import Rewritten, bypass
from onnxprune.runtime.session import open_session, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from onnxprune.core.branches import Branch

D = 4

WEIGHTS = {"w1": (D, 6), "w2": (6, D), "u1": (D, 5), "u2": (5, D), "p": (D, D), "row": (1, D)}

MODELS = {
    # name: (body, outputs, values of the branches)
    "identity": ("h = MatMul(x, w1) r = Relu(h) f = MatMul(r, w2) y = Add(x, f)", "y", ["f"]),
    "swapped": ("h = MatMul(x, w1) f = MatMul(h, w2) y = Add(f, x)", "y", ["f"]),
    "sum": ("h = MatMul(x, w1) f = MatMul(h, w2) y = Sum(f, x)", "y", ["f"]),
    "two": (
        ("h = MatMul(x, w1) f = MatMul(h, w2) s = Add(x, f) k = MatMul(s, u1) l = Relu(k) "
        "g = MatMul(l, u2) y = Add(s, g)"),
        "y", ["f", "g"],
    ),
    "normalised behind": (
        "h = MatMul(x, w1) f = MatMul(h, w2) s = Add(x, f) y = LpNormalization<axis=1>(s)",
        "y", ["f"],
    ),
    "parallel": (
        ("h = MatMul(x, w1) f = MatMul(h, w2) k = MatMul(x, u1) g = MatMul(k, u2) "
        "s = Add(f, g) y = Add(x, s)"),
        "y", ["f", "g"],
    ),
    "nested": (
        ("a = MatMul(x, p) h = MatMul(a, w1) f = MatMul(h, w2) b = Add(a, f) c = MatMul(b, p) "
        "y = Add(x, c)"),
        "y", ["f", "c"],
    ),
    "projection": (
        "h = MatMul(x, w1) r = Relu(h) f = MatMul(r, w2) s = MatMul(x, p) y = Add(s, f)",
        "y", ["f"],
    ),
    "squashed skip": (
        "h = MatMul(x, w1) f = MatMul(h, w2) q = MatMul(x, p) s = Tanh(q) y = Add(s, f)", "y", [],
    ),
    "two inputs": (
        ("h = MatMul(x, w1) t = Tanh(z) m = MatMul(t, w1) v = Mul(h, m) f = MatMul(v, w2) "
        "y = Add(x, f)"),
        "y", ["f"],
    ),
    "sizes": (
        ("n = Shape(x) h = MatMul(x, w1) f = MatMul(h, w2) g = Reshape(f, n) y = Add(x, g) "
        "e = Reshape(z, n)"),
        "y, e", ["g"],
    ),
    "an output inside": ("h = MatMul(x, w1) f = MatMul(h, w2) y = Add(x, f)", "y, h", []),
    "its end is an output": ("h = MatMul(x, w1) f = MatMul(h, w2) y = Add(x, f)", "y, f", []),
    "used elsewhere": (
        "h = MatMul(x, w1) f = MatMul(h, w2) s = Add(x, f) y = Mul(s, f)", "y", [],
    ),
    "a row for all": (
        "m = ReduceMean<axes=[0], keepdims=1>(x) h = MatMul(m, w1) f = MatMul(h, w2) y = Add(x, f)",
        "y", [],
    ),
    "no weights": ("c = Mul(x, x) f = Mul(c, row) y = Add(x, f)", "y", []),
    "another input": ("h = MatMul(z, w1) f = MatMul(h, w2) y = Add(x, f)", "y", []),
    "twice": ("h = MatMul(x, w1) f = MatMul(h, w2) y = Add(f, f)", "y", []),
}  # fmt: skip


def make(path: Path, body: str, outputs: str, *, ir_version: int = 8) -> Path:
    lines = body.replace(") ", ")\n ")
    declared = ", ".join(f"float[N, {D}] {name.strip()}" for name in outputs.split(","))
    declared = declared.replace(f"float[N, {D}] h", "float[N, 6] h")
    text = f"agraph (float[N, {D}] x, float[N, {D}] z) => ({declared}) {{\n {lines}\n}}"
    graph = parser.parse_graph(text)
    for number, node in enumerate(graph.node):
        node.name = f"{node.op_type}{number}"
    used = {name for node in graph.node for name in node.input}
    generator = np.random.default_rng(0)
    for name, shape in WEIGHTS.items():
        if name in used:
            array = generator.standard_normal(shape).astype(np.float32)
            graph.initializer.append(numpy_helper.from_array(array, name))
            if ir_version < 4:
                info = onnx.helper.make_tensor_value_info(name, 1, shape)
                graph.input.append(info)
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def plan_for(analysis: Analysis, branches: Sequence[Branch]) -> PrunePlan:
    entries = [
        PlanBranch(id=b.id, add=b.node.outputs[0], value=b.value, removed=list(b.nodes))
        for b in branches
    ]
    return PrunePlan(model_sha256=analysis.model.sha256, groups=[], branches=entries)


@pytest.mark.parametrize("name", MODELS)
def test_branches(name: str, tmp_path: Path) -> None:
    body, outputs, wanted = MODELS[name]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs))
    assert [b.value for b in analysis.branches] == wanted


def test_a_model_without_branches_is_the_original_with_zeros(tmp_path: Path) -> None:
    feed = {k: np.random.default_rng(1).standard_normal((3, D), np.float32) for k in "xz"}
    checked = 0
    for name, (body, outputs, values) in MODELS.items():
        path = make(tmp_path / "model.onnx", body, outputs)
        analysis = analyze_model(path)
        subsets = [[b] for b in analysis.branches] + [list(analysis.branches)]
        for branches in subsets if values else ():
            checked += 1
            plan = plan_for(analysis, branches)
            small = tmp_path / "small.onnx"
            pipeline.apply(analysis, plan, small, verify=False)
            zeroed = _zeroed(path, branches)
            first = run(open_session(zeroed.SerializeToString(), optimize=False), feed)
            second = run(open_session(small, optimize=True), feed)
            for a, b in zip(first, second, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6, err_msg=name)
            _is_clean(small, analysis, branches)
    assert checked > 10


def _zeroed(path: Path, branches: Sequence[Branch]) -> onnx.ModelProto:
    """Zero branches in the file itself: from the end, so that numbers of nodes stay right."""
    model = onnx.load(path)
    for branch in branches:
        model.graph.node[branch.node.index].input[branch.position] = f"{branch.value}_0"
    for branch in sorted(branches, key=lambda b: -b.node.index):
        nothing = f"{branch.value}_0"
        node = onnx.helper.make_node("Sub", [branch.value] * 2, [nothing])
        model.graph.node.insert(branch.node.index, node)
    return model


def _is_clean(path: Path, analysis: Analysis, branches: Sequence[Branch]) -> None:
    graph = onnx.load(path).graph
    read = {i for n in graph.node for i in n.input} | {o.name for o in graph.output}
    made = {o for n in graph.node for o in n.output}
    assert {t.name for t in graph.initializer} <= read
    assert made <= read
    assert {v.name for v in graph.value_info} <= made
    assert [o.name for o in graph.output] == analysis.deps.graph.outputs
    cost = analysis.cost(dead=dead_nodes(analysis.deps, branches))
    assert cost.params == count_params(load_model(path).proto.graph)
    assert cost.macs == analyze_model(path).cost().macs


def test_old_files_list_weights_as_inputs(tmp_path: Path) -> None:
    body, outputs, _ = MODELS["two"]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs, ir_version=3))
    pipeline.apply(analysis, plan_for(analysis, analysis.branches[:1]), tmp_path / "small.onnx")
    graph = onnx.load(tmp_path / "small.onnx").graph
    assert {i.name for i in graph.input} == {"x", "z", "u1", "u2"}


def test_channels_and_branches_leave_together(tmp_path: Path) -> None:
    body, outputs, _ = MODELS["two"]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs))
    channels = pipeline.plan(analysis, ratio=0.5)
    both = plan_for(analysis, analysis.branches[1:]).model_copy(update={"groups": channels.groups})
    (tmp_path / "plan.json").write_text(both.to_json())
    report = pipeline.apply(analysis, tmp_path / "plan.json", tmp_path / "small.onnx")
    assert report.verified is not None
    assert report.verified.exact
    assert report.branches_removed == [analysis.branches[1].node.name]
    assert report.output.params == 2 * D * 3
    for plan in (tmp_path / "plan.json", None):
        found = pipeline.verify(analysis, tmp_path / "small.onnx", plan=plan)
        assert (found.passed, found.method) == (True, "masked")


CHANGES: dict[str, Callable[[PlanBranch], dict[str, object]]] = {
    "id": lambda b: {"id": f"{b.id}0"},
    "value": lambda _: {"value": "x"},
    "removed": lambda b: {"removed": b.removed[1:]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_plan_for_other_branches_is_refused(change: str, tmp_path: Path) -> None:
    body, outputs, _ = MODELS["two"]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs))
    plan = plan_for(analysis, analysis.branches[:1])
    [entry] = plan.branches
    wrong = entry.model_copy(update=CHANGES[change](entry))
    with pytest.raises(PlanMismatchError, match="branch"):
        pipeline.apply(
            analysis, plan.model_copy(update={"branches": [wrong]}), tmp_path / "small.onnx"
        )
    assert not (tmp_path / "small.onnx").exists()


def test_plans_without_branches_are_written_as_before(tmp_path: Path) -> None:
    body, outputs, _ = MODELS["two"]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs))
    assert "branches" not in pipeline.plan(analysis, ratio=0.5).to_json()


def test_useless_nodes_do_not_read_what_is_gone(tmp_path: Path) -> None:
    body, outputs, _ = MODELS["two"]
    analysis = analyze_model(make(tmp_path / "model.onnx", body, outputs))
    proto = onnx.load(tmp_path / "model.onnx")
    for name, read in (("n", "h"), ("m", "n"), ("k2", "k")):  # as a cut leaves them
        proto.graph.node.append(onnx.helper.make_node("Shape", [read], [name], name=name))
    small = bypass(Rewritten(proto, {}), analysis.branches[:1]).proto
    assert [n.name for n in small.graph.node if n.op_type == "Shape"] == ["k2"]
    onnx.checker.check_model(small, full_check=True)

"""What a cut does not touch is kept, to the last field; a plan that removes nothing keeps all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser

from onnxprune import pipeline
from onnxprune.analysis import analyze_model
from onnxprune.core.plan import PrunePlan
from onnxprune.testing.random_graphs import random_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RICH = """
<ir_version: 10, opset_import: ["" : 17, "f": 1], producer_name: "somebody",
 producer_version: "1.2", domain: "org.example", model_version: 7, doc_string: "a model">
main (float[N,4] x, bool c) => (float[N,3] y, float[N,4] s) {
  h = f.Layer<slope = 0.1>(x, w1, b1)
  k = Constant<value_float = 2.0>()
  r = Mul(h, k)
  i = If(c) <then_branch = t () => (float[N,8] a) { a = Relu(r) },
             else_branch = e () => (float[N,8] b) { o = Neg(r) b = Relu(o) }>
  y = f.Layer<slope = 0.2>(i, w2, b2)
  n = Neg(x)
  p = Identity(n)
  s = MatMul(p, sparse)
}
<opset_import: ["" : 17], domain: "f", doc_string: "a layer">
Layer <slope: float> (p, w, b) => (q) {
  m = MatMul(p, w) s = Add(m, b) q = LeakyRelu<alpha: float = @slope>(s) }
<opset_import: ["" : 17], domain: "f"> Unused (p) => (q) { q = Neg(p) }
"""


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """Write a model with something in every corner; `[N, 8]` in the middle can lose indices."""
    model = parser.parse_model(RICH)
    graph = model.graph
    generator = np.random.default_rng(0)
    shapes = {"b2": (3,), "w2": (8, 3), "unread": (700,), "w1": (4, 8), "b1": (8,)}
    for name, shape in shapes.items():
        array = generator.normal(size=shape).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(array, name))
        graph.initializer[-1].doc_string = f"about {name}"
    graph.sparse_initializer.add().CopyFrom(
        helper.make_sparse_tensor(
            helper.make_tensor("sparse", TensorProto.FLOAT, [2], [1.0, 2.0]),
            helper.make_tensor("", TensorProto.INT64, [2], [0, 5]), [4, 4],
        )
    )  # fmt: skip
    for name, shape in {"n": ("N", 4), "h": ("N", 8), "r": (None, 8), "p": ("M", 4)}.items():
        graph.value_info.append(helper.make_tensor_value_info(name, 1, shape, f"about {name}"))
    note = graph.quantization_annotation.add(tensor_name="n")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="b2")
    graph.doc_string = "a graph"
    for number, node in enumerate(graph.node):
        node.name, node.doc_string = f"node {number}", f"about {number}"
        node.metadata_props.add(key="number", value=str(number))
    for holder in (model, graph, graph.value_info[0], model.functions[0]):
        holder.metadata_props.add(key="owner", value="somebody")
    for name, sizes in (("b", None), ("m", (None, 8)), ("q", ("N", "M"))):
        model.functions[0].value_info.append(helper.make_tensor_value_info(name, 1, sizes))
    model.training_info.add().algorithm.name = "none"
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    return path


def without_provenance(path: Path) -> onnx.ModelProto:
    """Read a model without what says how it was made, and where its data file is."""
    model = onnx.load(path, load_external_data=False)
    own = [p for p in model.metadata_props if not p.key.startswith("onnxprune.")]
    del model.metadata_props[:]
    model.metadata_props.extend(own)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = "" if entry.key == "location" else entry.value
    return model


def remove_nothing(source: Path, out: Path) -> onnx.ModelProto:
    analysis = analyze_model(source)
    pipeline.apply(
        analysis, PrunePlan(model_sha256=analysis.model.sha256, groups=[]), out, verify=False
    )
    return without_provenance(out)


def test_nothing_removed_from_a_rich_model(rich: Path, tmp_path: Path) -> None:
    assert remove_nothing(rich, tmp_path / "out.onnx") == without_provenance(rich)


@pytest.mark.parametrize("threshold", [0, 64, 100, 2000])
def test_every_tensor_stays_in_the_file_it_was_in(
    rich: Path, tmp_path: Path, threshold: int
) -> None:
    source = tmp_path / "split.onnx"
    onnx.save(onnx.load(rich), source, save_as_external_data=True, location="split.onnx.data",
              size_threshold=threshold)  # fmt: skip

    def outside(path: Path) -> dict[str, int]:
        model = onnx.load(path, load_external_data=False)
        return {t.name: t.data_location for t in model.graph.initializer}

    remove_nothing(source, tmp_path / "same.onnx")
    assert outside(tmp_path / "same.onnx") == outside(source)
    pipeline.prune(source, tmp_path / "small.onnx", ratio=0.5)
    assert outside(tmp_path / "small.onnx") == outside(source)


def test_nothing_removed_from_random_graphs(tmp_path: Path) -> None:
    for seed in range(500, 530):
        source = tmp_path / f"{seed}.onnx"
        onnx.save(random_model(seed), source)
        assert remove_nothing(source, tmp_path / "out.onnx") == without_provenance(source), seed


def test_nothing_removed_from_the_corpus(shared: Path, tmp_path: Path) -> None:
    for source in sorted((shared / "corpus" / "valid").rglob("*.onnx")):
        if source.parent.name == "valid":
            assert remove_nothing(source, tmp_path / "out.onnx") == without_provenance(source), (
                source.name
            )


@pytest.mark.zoo
@pytest.mark.slow
def test_nothing_removed_from_an_exported_network(
    skeleton_name: str, fill_skeleton: Callable[[str], Path], tmp_path: Path
) -> None:
    source = fill_skeleton(skeleton_name)
    assert remove_nothing(source, tmp_path / "out.onnx") == without_provenance(source)


def test_what_a_cut_does_not_touch(rich: Path, tmp_path: Path) -> None:
    report = pipeline.prune(rich, tmp_path / "out.onnx", ratio=0.5)
    assert report.verified is not None
    assert report.verified.exact
    before, after = without_provenance(rich), without_provenance(tmp_path / "out.onnx")
    cut = {"w1": (0, 1), "b1": (1, 0), "w2": (0, 0)}
    for tensor in after.graph.initializer:
        original = next(t for t in before.graph.initializer if t.name == tensor.name)
        assert tensor.doc_string == original.doc_string
        if tensor.name in cut:
            assert np.prod(tensor.dims) * 2 == np.prod(original.dims)
        else:
            assert tensor == original
    for info in after.graph.value_info:
        if info.name in {"h", "r"}:
            assert info.type.tensor_type.shape.dim[1].dim_value == 4
            info.type.tensor_type.shape.dim[1].dim_value = 8
    branches = [a.g for n in after.graph.node for a in n.attribute if a.name.endswith("_branch")]
    for branch in branches:
        assert branch.output[0].type.tensor_type.shape.dim[1].dim_value == 4
        branch.output[0].type.tensor_type.shape.dim[1].dim_value = 8
    assert before.functions[0].value_info.pop(1).name == "m"  # no longer true
    for model in (before, after):  # all that may differ is compared above
        for tensor in model.graph.initializer:
            if tensor.name in cut:
                tensor.ClearField("dims")
                tensor.ClearField("raw_data")
    assert after == before

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper

from onnxprune.bench.run import benchmark
from onnxprune.bench.workload import (
    batch_symbols,
    first_running,
    make_recipe,
    possible_sizes,
    read_subject,
)
from onnxprune.errors import InvalidConfigError, InvalidModelError
from onnxprune.runtime.inputs import InputSpec


@pytest.mark.parametrize(
    ("dims", "batches"),
    [
        (("N", 3, "H", "W"), ["N"]),
        (("x:0", 3), ["x:0"]),
        (("time", "batch", 4), []),
        (("T_seq", 4), []),
        ((1, "T"), []),
        (("n",), []),
        (None, []),
    ],
)
def test_batches_are_first_axes_that_are_no_time(dims, batches):
    assert batch_symbols([InputSpec("x", np.dtype(np.float32), dims)]) == batches


def test_batch_is_one_by_default_and_macs_follow(write_model):
    path = write_model()
    one = read_subject(path, dims={}, batch=None)
    assert one.dims == {"batch": 1}
    assert one.macs == {"mm1": 4 * 8, "mm2": 8 * 3}
    assert one.total_macs == 56
    assert one.bytes == path.stat().st_size
    assert read_subject(path, dims={}, batch=4).total_macs == 4 * 56
    assert read_subject(path, dims={"batch": 3}, batch=4).dims == {"batch": 3}


def test_fixed_batch_cannot_be_chosen(write_model):
    path = write_model(batch=2)
    assert read_subject(path, dims={}, batch=None).dims == {}
    with pytest.raises(InvalidConfigError, match="no open batch"):
        read_subject(path, dims={}, batch=4)


def test_models_must_take_the_same(write_model):
    def subject(file, **options):
        return read_subject(write_model(file, **options), dims={}, batch=None)

    base = subject("a.onnx")
    assert make_recipe([base, subject("b.onnx", batch=1)], seed=3).seed == 3
    for number, options in enumerate(({"batch": 2}, {"name": "z"})):
        with pytest.raises(InvalidModelError, match="takes another input"):
            make_recipe([base, subject(f"c{number}.onnx", **options)], seed=0)


def test_more_inputs_are_another_model(write_model, tmp_path):
    model = onnx.load(write_model("a.onnx"))
    model.graph.input.append(helper.make_tensor_value_info("more", 1, ["batch", 4]))
    onnx.save(model, tmp_path / "b.onnx")
    found = [read_subject(tmp_path / file, dims={}, batch=None) for file in ("a.onnx", "b.onnx")]
    with pytest.raises(InvalidModelError):
        make_recipe(found, seed=0)
    with pytest.raises(InvalidModelError, match="1 inputs"):
        make_recipe(found[::-1], seed=0)


@pytest.fixture
def picky(write_model):
    """Write a model that runs at a multiple of 32 only, which its shapes do not tell."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], name="shape", start=0, end=1),
        helper.make_node("ConstantOfShape", ["s"], ["zeros"], name="zeros"),
        helper.make_node("Constant", [], ["thirtytwo"], name="k", value_ints=[-1, 32]),
        helper.make_node("Reshape", ["zeros", "thirtytwo"], ["rows"], name="fold"),
    ]
    return write_model("picky.onnx", batch="height", extra=nodes)


def test_sizes_are_tried_until_the_model_runs(picky, swift):
    subject = read_subject(picky, dims={"height": 33}, batch=None)
    recipe = make_recipe([subject], seed=0)
    recipes = [type(recipe)(recipe.specs, {"height": size}) for size in (33, 1, 64)]
    assert first_running(str(picky), recipes) == 2
    with pytest.raises(InvalidModelError):
        first_running(str(picky), recipes[:2])
    with pytest.raises(InvalidModelError):
        benchmark([picky], dims={"height": 33}, protocol=swift)


def test_possible_sizes_keep_what_is_given(write_model):
    subject = read_subject(write_model(), dims={}, batch=3)
    assert possible_sizes(subject, {"batch": 3}) == [{"batch": 3}]


def test_input_that_chooses_a_branch_gets_a_value_it_is_compared_with(tmp_path):
    nodes = [
        helper.make_node("Constant", [], ["k"], name="k", value_int=16000),
        helper.make_node("Equal", ["sr", "k"], ["y"], name="equal"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("sr", 7, [])],
        [helper.make_tensor_value_info("y", 9, [])],
    )
    path = tmp_path / "sr.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    recipe = make_recipe([read_subject(path, dims={}, batch=None)], seed=0)
    assert recipe.make()["sr"] == 16000

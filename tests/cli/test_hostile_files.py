"""Hostile models through the commands, under limits on time and memory, in several spellings.

Every file gets an exit status, one short message and nothing else, whatever is in it; see
`onnxprune.testing.contract`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "benchmarks" / "fuzz" / "commands.py"
CORPUS = ROOT.parent / "shared" / "corpus"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits need Linux")

Nodes = list[onnx.NodeProto]


def commands(*args: object) -> dict[str, Any]:
    """Run analyze, prune and verify on files; returns the totals."""
    done = subprocess.run(
        [sys.executable, SCRIPT, *map(str, args)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    totals: dict[str, Any] = json.loads(done.stdout)
    return totals


def numbers(name: str, *values: float, dtype: Any = np.int64) -> onnx.NodeProto:
    """Make a Constant node of one axis."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(
        np.array(values, dtype), name))  # fmt: skip


def scalar(name: str, value: float, dtype: Any = np.int64) -> onnx.NodeProto:
    """Make a Constant node without axes."""
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(
        np.array(value, dtype), name))  # fmt: skip


def bomb(op: str, *constants: onnx.NodeProto, **attributes: Any) -> Nodes:
    """Let an operator work on constants and sum up what comes out as `z`."""
    node = helper.make_node(op, [c.output[0] for c in constants], ["large"], **attributes)
    return [*constants, node, helper.make_node("ReduceSum", ["large"], ["sum"], keepdims=0),
            helper.make_node("Cast", ["sum"], ["z"], to=TensorProto.FLOAT)]  # fmt: skip


def endless(trips: int, inner: Nodes | None = None) -> Nodes:
    """Add one to a number for ever."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), *(inner or []),
         helper.make_node("Add", ["s", "s"], ["t"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, ()),
         helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
         helper.make_tensor_value_info("s", TensorProto.FLOAT, ())],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
         helper.make_tensor_value_info("t", TensorProto.FLOAT, ())],
    )  # fmt: skip
    start = [scalar("trips", trips), scalar("true", True, bool), scalar("zero", 0, np.float32)]
    return [*start, helper.make_node("Loop", ["trips", "true", "zero"], ["z"], body=body)]


HUGE = (1 << 31, 1 << 30)
BOMBS: dict[str, Callable[[], Nodes]] = {
    "ConstantOfShape": lambda: bomb("ConstantOfShape", numbers("c", *HUGE)),
    "ConstantOfShape of many axes": lambda: bomb("ConstantOfShape", numbers("c", *[1024] * 6)),
    "Expand": lambda: bomb("Expand", numbers("a", 1), numbers("c", *HUGE)),
    "Tile": lambda: bomb("Tile", numbers("a", 1), numbers("c", 1 << 40)),
    "Range": lambda: bomb("Range", scalar("a", 0), scalar("b", (1 << 62) + 1), scalar("c", 1)),
    "Pad": lambda: bomb("Pad", numbers("a", 1.0, dtype=np.float32), numbers("c", 1 << 40, 1 << 40)),
    "RandomNormal": lambda: bomb("RandomNormal", shape=list(HUGE)),
    "Loop": lambda: endless(1 << 62),
    "Loop in a Loop": lambda: endless(1 << 62, endless((1 << 62) + 1)),
}


def in_branch(nodes: Nodes) -> tuple[Nodes, list[onnx.FunctionProto]]:
    out = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "b", [], out)
    condition = scalar("condition", True, bool)
    choose = helper.make_node("If", ["condition"], ["z"], then_branch=graph, else_branch=graph)
    return [condition, choose], []


def in_functions(nodes: Nodes) -> tuple[Nodes, list[onnx.FunctionProto]]:
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    inner = helper.make_function("own", "Inner", [], ["z"], nodes, opsets)
    call = helper.make_node("Inner", [], ["z"], domain="own")
    outer = helper.make_function("own", "Outer", [], ["z"], [call], opsets)
    return [helper.make_node("Outer", [], ["z"], domain="own")], [inner, outer]


PLACES = {"plain": lambda nodes: (nodes, []), "branch": in_branch, "function": in_functions}


def network(nodes: Nodes, functions: list[onnx.FunctionProto], opset: int) -> onnx.ModelProto:
    """Put nodes beside two convolutions; what they make is another output."""
    generator = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in (("w1", (8, 3, 3, 3)), ("w2", (4, 8, 3, 3)))
    ]
    convs = [helper.make_node("Conv", ["x", "w1"], ["h"]), helper.make_node("Relu", ["h"], ["r"]),
             helper.make_node("Conv", ["r", "w2"], ["y"])]  # fmt: skip
    graph = helper.make_graph(
        [*convs, *nodes], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4, 4, 4)),
         helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        weights,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


def test_bombs(tmp_path: Path) -> None:
    for name, place in (("Tile", "branch"), ("Range", "plain"), ("Loop", "function")):
        nodes, functions = PLACES[place](BOMBS[name]())
        onnx.save(network(nodes, functions, 13), tmp_path / f"{name}.onnx")
    files = commands(tmp_path)["files"]
    assert len(files) == 3
    assert all(codes["prune"] != 0 for codes in files.values())


@pytest.mark.slow
def test_bombs_everywhere(tmp_path: Path) -> None:
    for name, make in BOMBS.items():
        for place, put in PLACES.items():
            nodes, functions = put(make())
            onnx.save(network(nodes, functions, 13), tmp_path / f"{name} {place}.onnx")
    files = commands(tmp_path)["files"]
    assert all(codes["prune"] != 0 for codes in files.values())


def test_mutated_random_graphs() -> None:
    totals = commands("--seeds", 0, 8)
    assert {"analyze 0", "analyze 2"} <= set(totals["exit statuses"])


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 500, 100))
def test_many_mutated_files(first: int, shared: Path) -> None:
    commands(shared / "corpus", "--seeds", 100_000 + first, 100_100 + first)


@pytest.mark.slow
def test_the_corpus(shared: Path) -> None:
    entries = json.loads((shared / "corpus" / "manifest.json").read_text())["models"]
    files = commands(shared / "corpus")["files"]
    assert len(files) == len(entries)
    for entry in entries:
        codes = files["/".join(Path(entry["file"]).parts[-2:])]
        if entry["kind"] == "valid":
            assert codes["analyze"] == 0, entry["name"]
            assert codes["prune"] == 0 or entry["expect"] != "prune", entry["name"]
        elif entry["expect"] == "error":
            assert codes["prune"] == 2, entry["name"]

"""An original that cannot be run is told from one that cannot be run at some sizes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, save

from onnxprune.errors import InvalidModelError
from onnxprune.pipeline import prune


def _save(path, batch, nodes):
    """Two layers, and what is to fail behind them."""
    shapes = {"v": (4, 8), "w": (8, 3)}
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "v"], ["h"]),
         helper.make_node("MatMul", ["h", "w"], ["o"]), *nodes],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones(s, np.float32), n) for n, s in shapes.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 17)]
    save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


@pytest.mark.parametrize(
    ("batch", "nodes", "sizes_matter"),
    [
        ("N", [helper.make_node("Unheard", ["o"], ["y"])], False),
        (2, [helper.make_node("Unheard", ["o"], ["y"])], False),
        (
            "N",
            [helper.make_node("Constant", [], ["s"], value_ints=[7, 3]),
             helper.make_node("Reshape", ["o", "s"], ["y"])],
            True,
        ),
    ],
)  # fmt: skip
def test_sizes_are_asked_for_where_they_matter(tmp_path, batch, nodes, sizes_matter):
    _save(tmp_path / "m.onnx", batch, nodes)
    with pytest.raises(InvalidModelError) as caught:
        prune(tmp_path / "m.onnx", tmp_path / "o.onnx", ratio=0.5)
    assert ("--dims" in (caught.value.hint or "")) is sizes_matter
    assert ("settings of its dimensions" in caught.value.message) is sizes_matter
    assert not (tmp_path / "o.onnx").exists()

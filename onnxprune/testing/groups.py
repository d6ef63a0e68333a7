"""Write down a small graph as text, and its coupled groups as lines.

The text is onnx's own syntax for graphs. Values declared between `<` and `>` that no node makes are
weights. A line names the number of atoms of a group and the parameter axes they leave from:
`6 w.0 b v.1`, with a range of indices where a group covers part of an axis, `rows` for whole
heads or convolution groups, `even` where rows must keep equally many, and `~` when it is not exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune.core.dependencies import analyze_graph
from onnxprune.core.graph import build_graph
from onnxprune.core.shapes import concretize

if TYPE_CHECKING:
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.groups import Group

OPSET = 21
IR_VERSION = 10


def parse_model(text: str, *, opset: int = OPSET) -> onnx.ModelProto:
    """Make a model of a graph in onnx's text syntax: `(inputs) => (outputs) <weights> {nodes}`."""
    graph = parser.parse_graph(f"g {text.strip()}")
    made = {o for n in graph.node for o in n.output} | {t.name for t in graph.initializer}
    for info in graph.value_info:
        if info.name not in made:
            tensor = info.type.tensor_type
            shape = [d.dim_value for d in tensor.shape.dim]
            graph.initializer.append(
                _filled(info.name, tensor.elem_type, shape, len(graph.initializer))
            )
    del graph.value_info[:]
    imports = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)


def _filled(name: str, kind: int, shape: list[int], seed: int) -> TensorProto:
    values = np.random.default_rng(seed).uniform(-1, 1, shape)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    if dtype.kind in "iu":
        values = np.abs(values) * 100
    return numpy_helper.from_array(values.astype(dtype), name)


def analyze_text(text: str, *, opset: int = OPSET) -> Dependencies:
    """Analyse a graph given as text."""
    graph = build_graph(parse_model(text, opset=opset))
    settings = [{"N": 2, "T": 5}, {"N": 3, "T": 7}]
    return analyze_graph(graph, concretize(graph, numpy_helper.to_array, settings))


def groups_of(text: str, *, opset: int = OPSET) -> list[str]:
    """Return one line per coupled group.

    Example:
        >>> groups_of('''(float[N,4] x) => (float[N,2] y) <float[4,6] w, float[6,2] v>
        ...              { h = MatMul(x, w)  y = MatMul(h, v) }''')
        ['6 w.1 v.0']
    """
    deps = analyze_text(text, opset=opset)
    return [describe(deps, group) for group in deps.groups]


def frozen_of(text: str, *, opset: int = OPSET) -> set[str]:
    """Return the reasons for which something is frozen."""
    return {r.reason for r in analyze_text(text, opset=opset).frozen.values()}


def describe(deps: Dependencies, group: Group) -> str:
    """Say in one line what a group is."""
    places = []
    for part in group.slices:
        mine = np.isin(part.roots, group.atoms)
        where = "".join(map(str, part.axes))
        shape = deps.ctx.parameters[part.parameter].shape if part.parameter in (
            deps.ctx.parameters
        ) else part.roots.shape  # fmt: skip
        indices = _ranges(np.flatnonzero(mine)) if len(part.axes) == 1 and not mine.all() else ""
        if len(shape) > 1 or len(part.axes) > 1:
            places.append(f"{part.parameter}.{where}{indices}")
        else:
            places.append(f"{part.parameter}{indices}")
    words = [str(group.size), *places]
    if group.level:
        words.append("rows")
    if group.balances:
        words.append("even")
    if not group.exact:
        words.append("~")
    return " ".join(words)


def _ranges(indices: np.ndarray) -> str:
    """Write indices as ranges: [0:3,5]."""
    runs = np.split(indices, np.flatnonzero(np.diff(indices) > 1) + 1)
    texts = [f"{r[0]}:{r[-1] + 1}" if len(r) > 1 else f"{r[0]}" for r in runs if len(r)]
    return f"[{','.join(texts)}]"

"""Random networks with the structures that a pruner has to understand.

`random_model` is a pure function of a seed. It grows a pool of live values ([n c *space] maps,
[n l c] sequences, [n c] vectors) by random blocks from `onnxprune.testing.blocks`; every run of
consecutive seeds as long as the table of blocks contains each block at least once.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from onnxprune.testing import blocks
from onnxprune.testing.blocks.builder import (
    LAST_OPSET,
    MAPS,
    Builder,
    Dim,
    Layout,
    Setting,
    Tensor,
)
from onnxprune.testing.blocks.control_flow import DOMAIN
from onnxprune.testing.blocks.embedding import VOCABULARY, look_up
from onnxprune.testing.blocks.layers import linear, nonlinear, project
from onnxprune.testing.blocks.pooling import to_vector
from onnxprune.testing.blocks.registry import BLOCKS, Block, fitting

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS: tuple[dict[str, int], ...] = ({"N": 2, "L": 5}, {"N": 3, "L": 7})
_USUAL_OPSETS = (11, 12, 13, 14, 17, 17, 18, 20)
_NAMINGS = ("{hint}_{count}", "{hint}_{count}", "/net/{hint}.{count}/out", "{count}")
_BATCHES: tuple[Dim, ...] = ("N", "N", "N", 1, 2)
_LENGTHS: tuple[Dim, ...] = ("L", "L", 5, 6)
_EXTRA: tuple[Layout, ...] = ("plane", "plane", "line", "cube", "seq", "vec")
_EXTRA_DOUBLE: tuple[Layout, ...] = ("seq", "seq", "vec")
_MOST_CHANNELS = 28
_MOST_OUTPUTS = 4

for _module in pkgutil.iter_modules(blocks.__path__):
    importlib.import_module(f"{blocks.__name__}.{_module.name}")


def block_kinds() -> list[str]:
    """Return the names of all blocks; seed `i` is sure to contain the one at `i` modulo the count.

    Example:
        >>> "conv" in block_kinds()
        True
    """
    return sorted(BLOCKS)


def random_model(seed: int) -> onnx.ModelProto:
    """Build the random network of a seed.

    Its metadata names the blocks it was grown from (`blocks`) and says whether its outputs change
    continuously with its values (`smooth`).

    Example:
        >>> random_model(7) == random_model(7)
        True
    """
    rng = np.random.default_rng(seed)
    kinds = block_kinds()
    feature = BLOCKS[kinds[seed % len(kinds)]]
    b = Builder(rng, _setting(rng, feature))
    used = _grow(b, feature)
    outputs = _finish(b)
    smooth = all(BLOCKS[kind].smooth for kind in used)
    return _assemble(b, outputs, {"blocks": ",".join(used), "smooth": str(int(smooth))})


def feeds(model: onnx.ModelProto, seed: int, *, setting: int = 0) -> dict[str, NDArray[np.generic]]:
    """Make random inputs for a model of `random_model`.

    Args:
        model: The model.
        seed: Seed of the values.
        setting: Which sizes of the symbolic dimensions to use, an index into `DIMENSIONS`.

    Returns:
        An array per input that has no default.

    Example:
        >>> model = random_model(3)
        >>> sorted(feeds(model, 0)) == sorted(feeds(model, 0, setting=1))
        True
    """
    rng = np.random.default_rng(seed)
    defaults = {tensor.name for tensor in model.graph.initializer}
    made: dict[str, NDArray[np.generic]] = {}
    for info in model.graph.input:
        if info.name in defaults:
            continue
        kind = info.type.tensor_type
        shape = [d.dim_value or DIMENSIONS[setting][d.dim_param] for d in kind.shape.dim]
        dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if dtype.kind == "f":
            made[info.name] = rng.normal(0.0, 1.0, shape).astype(dtype)
        else:
            top = 2 if dtype.kind == "b" else VOCABULARY
            made[info.name] = np.asarray(rng.integers(0, top, shape)).astype(dtype)
    return made


def _setting(rng: np.random.Generator, feature: Block) -> Setting:
    """Choose what holds for the whole model, so that the feature can occur in it."""
    usual = [opset for opset in _USUAL_OPSETS if opset >= feature.since]
    opset = int(rng.integers(feature.since, LAST_OPSET + 1))
    if usual and rng.random() < 0.5:
        opset = usual[int(rng.integers(len(usual)))]
    lowest = helper.OP_SET_ID_VERSION_MAP[("ai.onnx", opset)]
    version = int(rng.integers(lowest, max(lowest, 10) + 1))
    if opset == 9 and rng.random() < 0.5:
        version = 3
    code = _float_code(rng, feature)
    batch = _BATCHES[int(rng.integers(len(_BATCHES)))]
    length = _LENGTHS[int(rng.integers(len(_LENGTHS)))]
    widths = tuple(int(w) for w in rng.choice([4, 6, 8, 8, 9, 12, 16, 24], 3, replace=False))
    naming = _NAMINGS[int(rng.integers(len(_NAMINGS)))]
    named = bool(rng.random() < 0.7)
    dressing = (0.0, 0.15, 0.4)[int(rng.integers(3))]
    return Setting(opset, version, np.dtype(code), batch, length, widths, dressing, naming, named)


def _float_code(rng: np.random.Generator, feature: Block) -> str:
    """Choose single precision mostly; double only where a layout without convolution fits."""
    if rng.random() < 0.8:
        return "f"
    flat = any(layout not in MAPS for layout in feature.takes)
    codes = feature.floats if flat else feature.floats.replace("d", "")
    return codes[int(rng.integers(len(codes)))]


def _source(b: Builder, layout: Layout) -> Tensor:
    """Declare a graph input and mostly project it, since inputs cannot lose channels."""
    batch, length = b.setting.batch, b.setting.length
    if layout == "seq" and b.chance(0.4):
        return look_up(b, b.width())[0]
    channels = b.pick([3, 4, 6])
    if layout == "vec":
        shape: tuple[Dim, ...] = (batch, channels)
    elif layout == "seq":
        shape = (batch, length, channels)
    else:
        rank = 1 + MAPS.index(layout)
        low, high = (3, 4) if rank == 3 else (4, 8)
        shape = (batch, channels, *(b.between(low, high) for _ in range(rank)))
    name = b.graph_input(f"{layout}_{len(b.inputs)}", b.elem_type, shape)
    entry = Tensor(name, shape, layout)
    b.entries.append(entry)
    if b.chance(0.1):
        return entry
    return nonlinear(b, project(b, entry, b.width()))


def _grow(b: Builder, feature: Block) -> list[str]:
    """Apply blocks to live values, the feature among them, and return their names."""
    double = b.setting.dtype == np.float64  # for which ONNX Runtime has no convolutions
    layouts: list[Layout] = [t for t in feature.takes if not (double and t in MAPS)]
    b.live.append(_source(b, b.pick(layouts)))
    if b.chance(0.35):
        b.live.append(_source(b, b.pick(_EXTRA_DOUBLE if double else _EXTRA)))
    rough = not feature.smooth or b.chance(0.1)
    steps = b.between(3, 8)
    turn = b.between(0, steps - 1)
    used = []
    for step in range(steps):
        if step == turn:
            fit = [t for t in b.live if t.layout in feature.takes]
            chosen, candidates = feature, [b.pick(fit[-2:]), b.live[0]]
        else:
            x = b.live[-1] if b.chance(0.7) else b.pick(b.live)
            usable = fitting(b.opset, b.setting.dtype.char, [x.layout])
            chosen = b.pick([entry for entry in usable if entry.smooth or rough])
            candidates = [x]
        for x in candidates:
            made = chosen.build(b, x)
            if made.name != x.name:  # else the block found nothing to do here
                b.live.append(_tamed(b, made))
                used.append(chosen.kind)
                break
    return used


def _tamed(b: Builder, x: Tensor) -> Tensor:
    """Keep values near one and channels few."""
    if x.rms > 3.0:
        if b.chance(0.5):
            return x.named(b.op("Tanh", x), rms=0.7)
        operator, factor = ("Mul", 1.0 / x.rms) if b.chance(0.5) else ("Div", x.rms)
        x = x.named(b.op(operator, x, b.floats(factor)), rms=1.0)
    return project(b, x, b.width()) if x.channels > _MOST_CHANNELS else x


def _finish(b: Builder) -> list[Tensor]:
    """Decide what becomes of every value that nothing uses, and return the graph outputs."""
    consumed = {name for node in b.nodes for name in _reads(node)}
    leaves = [t for t in b.live if t.name not in consumed]
    leaves = list({t.name: t for t in leaves}.values()) or [b.live[-1]]
    if len(leaves) > 1 and b.chance(0.15):
        leaves.pop(b.between(0, len(leaves) - 1))
    declared = {info.name for info in b.inputs}
    outputs: list[Tensor] = []
    if len(leaves) > _MOST_OUTPUTS or (len(leaves) > 1 and b.chance(0.5)):
        vectors = [to_vector(b, leaf) for leaf in leaves]
        total = sum(vector.channels for vector in vectors)
        joined = vectors[0].resized(b.op("Concat", *vectors, axis=1), total)
        leaves = [joined]
    for leaf in leaves:
        direct = b.chance(0.15) and leaf.name not in declared
        outputs.append(leaf if direct else _head(b, leaf))
    return outputs


def _reads(node: onnx.NodeProto) -> list[str]:
    """List all names that a node or its inner graphs use."""
    inner = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return [*node.input, *(name for graph in inner for n in graph.node for name in _reads(n))]


def _head(b: Builder, x: Tensor) -> Tensor:
    """End in a layer of its own, whose outputs stay while its inputs may go."""
    width = b.between(2, 5)
    if x.layout in MAPS and b.chance(0.5):
        return project(b, x, width)
    if x.layout == "seq" and b.chance(0.6):
        return linear(b, x, width)
    return linear(b, to_vector(b, x), width)


def _assemble(b: Builder, outputs: list[Tensor], metadata: dict[str, str]) -> onnx.ModelProto:
    """Put the collected parts into a model."""
    inputs = list(b.inputs)
    if b.setting.ir_version < 4:
        declared = {info.name for info in inputs}
        inputs += [
            helper.make_tensor_value_info(t.name, t.data_type, list(t.dims))
            for t in b.initializers
            if t.name not in declared
        ]
    results = [helper.make_tensor_value_info(t.name, b.elem_type, list(t.shape)) for t in outputs]
    graph = helper.make_graph(b.nodes, "random", inputs, results, b.initializers)
    graph.sparse_initializer.extend(b.sparse)
    imports = [helper.make_opsetid("", b.opset)]
    if b.functions:
        imports.append(helper.make_opsetid(DOMAIN, 1))
    model = helper.make_model(graph, opset_imports=imports, functions=b.functions)
    model.ir_version = max(b.setting.ir_version, 8) if b.functions else b.setting.ir_version
    helper.set_model_props(model, metadata)
    if b.chance(0.3) and not b.sparse:  # inference gives what reads a sparse weight no type
        return onnx.shape_inference.infer_shapes(model)
    return model

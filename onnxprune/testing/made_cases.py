"""Cases of single nodes beyond onnx's own: several channels, groups, tables of indices, old forms.

onnx's examples show an operator with as little data as possible, often a single channel. What a
pruner has to get right starts where there are several.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, parser

from onnxprune.testing.node_cases import NodeCase

if TYPE_CHECKING:
    from collections.abc import Sequence

OPSET = 21
IR_VERSION = 10

Content = np.ndarray | np.generic


def floats(*shape: int, seed: int = 0, low: float = -2.0) -> np.ndarray:
    """Return numbers between `low` and 2."""
    rng = np.random.default_rng((seed, *shape))
    return rng.uniform(low, 2.0, shape).astype(np.float32)


def octets(*shape: int, kind: type = np.uint8) -> np.ndarray:
    """Return numbers of eight bits."""
    info = np.iinfo(kind)
    return np.random.default_rng(shape).integers(info.min, info.max, shape, kind, endpoint=True)


def integers(*values: int) -> np.ndarray:
    """Return a vector of 64-bit integers."""
    return np.array(values, np.int64)


def made_case(
    name: str,
    op: str,
    inputs: Sequence[Content | None],
    *,
    outputs: int | Sequence[str] = 1,
    opset: int = OPSET,
    domain: str = "",
    types: dict[int, int] | None = None,
    fixed: Sequence[int] = (),
    **attributes: Any,  # noqa: ANN401 - whatever the operator has
) -> NodeCase:
    """Make a case of one node.

    Args:
        name: name of the case.
        op: operator type.
        inputs: contents of the inputs; None leaves one out.
        outputs: how many outputs, or their names, "" for one left out.
        opset: version of the operator's domain.
        domain: domain of the operator.
        types: ONNX element types of inputs that NumPy's type does not tell.
        fixed: positions of inputs that can only be initializers.
        **attributes: attributes of the node.

    Example:
        >>> made_case("relu", "Relu", [np.ones((2, 3), np.float32)]).node.op_type
        'Relu'
    """
    names = ["" if v is None else f"x{i}" for i, v in enumerate(inputs)]
    out = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else list(outputs)
    kinds = types or {}
    given = {n: np.asarray(v) for n, v in zip(names, inputs, strict=True) if v is not None}
    node = helper.make_node(op, names, out, domain=domain or None, **attributes)
    declared = [
        helper.make_tensor_value_info(
            n, kinds.get(i, helper.np_dtype_to_tensor_dtype(v.dtype)), v.shape
        )
        for i, (n, v) in enumerate(zip(names, inputs, strict=True))
        if v is not None
    ]
    graph = helper.make_graph([node], name, declared, [_untyped(node, o) for o in out if o])
    imports = [helper.make_opsetid(domain, opset)]
    if domain:
        imports.append(helper.make_opsetid("", OPSET))
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    return NodeCase(
        name, model, dict(given), {}, rtol=1e-3, atol=1e-7, expanded=False,
        fixed=frozenset(names[p] for p in fixed),
    )  # fmt: skip


def text_case(name: str, text: str, inputs: Sequence[Content], *, opset: int = OPSET) -> NodeCase:
    """Make a case from a graph of one node in onnx's text syntax.

    Example:
        >>> text_case("t", "(float[2] a) => (float[2] b) { b = Relu(a) }", [np.ones(2)]).opset
        21
    """
    graph = parser.parse_graph(f"g {text.strip()}")
    imports = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    given = {i.name: np.asarray(v) for i, v in zip(graph.input, inputs, strict=True)}
    return NodeCase(name, model, dict(given), {}, rtol=1e-3, atol=1e-7, expanded=False)


def _untyped(node: NodeProto, name: str) -> Any:  # noqa: ANN401 - protobuf
    info = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    info.type.Clear()
    assert name in node.output
    return info

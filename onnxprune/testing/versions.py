"""The same node at older versions of its operator.

onnx's cases are of the newest versions. Between versions an operand may have been an attribute, and
types were added; where an older form of a node exists at all it is derived from the newer one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper

from onnxprune.rules.table import versions_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase

_RENAMED = {("Pad", "constant_value"): "value", ("TopK", "K"): "k"}


def older_cases(case: NodeCase) -> Iterator[NodeCase]:
    """Yield a case at every older version in force that can express it."""
    op = case.node.op_type
    if case.node.domain not in ("", "ai.onnx") or case.expanded:
        return
    own = onnx.defs.get_schema(op, case.opset).since_version
    known = versions_in_force(op)
    for version in known:
        if version >= own:
            break
        later = [v for v in known if v > version]
        older = at_opset(case, later[0] - 1)
        if older is not None:
            yield older


def at_opset(case: NodeCase, opset: int) -> NodeCase | None:
    """Return a case at an older opset, None when its node cannot be expressed there."""
    schema = onnx.defs.get_schema(case.node.op_type, opset)
    newer = onnx.defs.get_schema(case.node.op_type, case.opset)
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    node = model.graph.node[0]
    moved = _operands_to_attributes(case, node, schema, newer)
    if moved is None or not _drop_attributes(node, schema, newer):
        return None
    inputs = {n: v for n, v in case.inputs.items() if n not in moved}
    kept = [i for i in model.graph.input if i.name not in moved]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", opset))
    try:
        onnx.checker.check_node(node, _context(opset))
    except onnx.checker.ValidationError:
        return None
    return replace(case, name=f"{case.name}_opset{opset}", model=model, inputs=inputs, outputs={})


def _context(opset: int) -> onnx.checker.C.CheckerContext:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = 8
    context.opset_imports = {"": opset}
    return context


def _operands_to_attributes(
    case: NodeCase, node: onnx.NodeProto, schema: onnx.defs.OpSchema, newer: onnx.defs.OpSchema
) -> set[str] | None:
    """Turn operands that the older schema has as attributes into those; None if one is unknown."""
    formal = [i.name for i in newer.inputs]
    variadic = bool(newer.inputs) and newer.inputs[-1].option == newer.inputs[-1].option.Variadic
    if variadic:
        return set()
    moved: set[str] = set()
    limit = len(schema.inputs)
    for position in range(len(node.input) - 1, -1, -1):
        own, name = formal[position], node.input[position]
        attribute = _RENAMED.get((node.op_type, own), own)
        if position < limit and attribute not in schema.attributes:
            continue
        if not name:
            del node.input[position]
            continue
        value = case.inputs.get(name)
        if attribute not in schema.attributes or not isinstance(value, np.ndarray):
            return None
        if not value.size:
            return None
        kinds = onnx.defs.OpSchema.AttrType
        single = schema.attributes[attribute].type in (kinds.INT, kinds.FLOAT)
        content = value.item() if single and value.size == 1 else value.tolist()
        node.attribute.append(helper.make_attribute(attribute, content))
        del node.input[position]
        moved.add(name)
    return moved


def _drop_attributes(
    node: onnx.NodeProto, schema: onnx.defs.OpSchema, newer: onnx.defs.OpSchema
) -> bool:
    """Drop attributes at their default that the older schema lacks; False if one matters."""
    kept = []
    for attribute in node.attribute:
        if attribute.name in schema.attributes:
            kept.append(attribute)
            continue
        known = newer.attributes.get(attribute.name)
        default = known.default_value if known is not None else None
        if default is None or helper.get_attribute_value(default) != helper.get_attribute_value(
            attribute
        ):
            return False
    del node.attribute[:]
    node.attribute.extend(kept)
    return True

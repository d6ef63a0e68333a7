"""Check a node against the schema of its operator.

Runtimes make the same checks when they create a session; making them here gives one readable
message, and keeps malformed nodes away from native code that trusts the schema.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import onnx
from onnx import AttributeProto
from onnx.defs import OpSchema

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.place import normal_domain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["check_attributes", "check_operator"]

# Runtimes import these for models that use them without saying so.
_IMPLICIT_DOMAINS = ("com.microsoft", "com.ms.", "ai.onnx.")

# Where a value of each type lies, and how the fields of a value differ from those about it.
_VALUE_FIELDS = {
    AttributeProto.FLOAT: "f",
    AttributeProto.INT: "i",
    AttributeProto.STRING: "s",
    AttributeProto.TENSOR: "t",
    AttributeProto.GRAPH: "g",
    AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    AttributeProto.TYPE_PROTO: "tp",
    AttributeProto.FLOATS: "floats",
    AttributeProto.INTS: "ints",
    AttributeProto.STRINGS: "strings",
    AttributeProto.TENSORS: "tensors",
    AttributeProto.GRAPHS: "graphs",
    AttributeProto.SPARSE_TENSORS: "sparse_tensors",
    AttributeProto.TYPE_PROTOS: "type_protos",
}
_ABOUT_FIELDS = frozenset({"name", "ref_attr_name", "doc_string", "type"})
_MESSAGES = frozenset({"t", "g", "sparse_tensor", "tp"})


class _Operator(NamedTuple):
    """What a schema says about counts, names and types."""

    deprecated: bool
    inputs: tuple[int, int]
    outputs: tuple[int, int]
    required_inputs: tuple[bool, ...]
    required_outputs: tuple[bool, ...]
    attributes: Mapping[str, int]
    required_attributes: frozenset[str]


@cache
def _operator(domain: str, op_type: str, version: int) -> _Operator | None:
    """Return what onnx knows about an operator, or None when it does not know it."""
    try:
        schema = onnx.defs.get_schema(op_type, version, domain)
    except onnx.defs.SchemaError:
        return None
    single = OpSchema.FormalParameterOption.Single
    return _Operator(
        schema.deprecated,
        (schema.min_input, schema.max_input),
        (schema.min_output, schema.max_output),
        tuple(parameter.option == single for parameter in schema.inputs),
        tuple(parameter.option == single for parameter in schema.outputs),
        {name: _type_number(attribute.type) for name, attribute in schema.attributes.items()},
        frozenset(name for name, a in schema.attributes.items() if a.required),
    )


def _type_number(kind: OpSchema.AttrType) -> int:
    return int(AttributeProto.AttributeType.Value(str(kind).rpartition(".")[2]))


def check_attributes(attributes: Sequence[AttributeProto], *, in_function: bool) -> None:
    """Check that each attribute has a name of its own and one value of the type it claims.

    Args:
        attributes: The attributes of a node, or the defaults of a function.
        in_function: Whether they may refer to attributes of a function.

    Raises:
        InvalidModelError: For the first that does not; the message does not name the node.
    """
    seen: set[str] = set()
    for attribute in attributes:
        name = printable(attribute.name)
        if not name or name in seen:
            problem = f"has attribute '{name}' twice" if name else "has an attribute without a name"
            raise InvalidModelError(problem)
        seen.add(name)
        fields = {field.name for field, _ in attribute.ListFields()} - _ABOUT_FIELDS
        wanted = _VALUE_FIELDS.get(attribute.type)
        if wanted is None:
            msg = f"has attribute '{name}' without a type"
            raise InvalidModelError(msg)
        if attribute.ref_attr_name:
            if not in_function or fields:
                msg = f"has attribute '{name}' that refers to one of a function it is not in"
                raise InvalidModelError(msg)
        elif fields - {wanted} or (wanted in _MESSAGES and not fields):
            kind = AttributeProto.AttributeType.Name(attribute.type)
            msg = f"has attribute '{name}' of type {kind} with a value in {sorted(fields)}"
            raise InvalidModelError(msg)


def check_operator(node: onnx.NodeProto, opsets: Mapping[str, int]) -> None:
    """Check a node's inputs, outputs and attributes against its operator's schema.

    An operator that onnx does not know passes: whoever needs to understand it will say so.

    Args:
        node: The node.
        opsets: Version of each domain in force.

    Raises:
        InvalidModelError: When they do not fit; the message does not name the node.
    """
    domain = normal_domain(node.domain)
    if domain not in opsets:
        if domain.startswith(_IMPLICIT_DOMAINS):
            return
        msg = f"uses domain '{printable(domain) or 'ai.onnx'}', which the model does not import"
        raise InvalidModelError(msg)
    operator = _operator(domain, node.op_type, opsets[domain])
    if operator is None:
        return
    if operator.deprecated:
        msg = "uses an operator that this opset no longer has"
        raise InvalidModelError(msg, hint="export the model again, or convert it to another opset")
    _check_values("input", node.input, operator.inputs, operator.required_inputs)
    _check_values("output", node.output, operator.outputs, operator.required_outputs)
    _check_attribute_types(node.attribute, operator)


def _check_values(
    kind: str, names: Sequence[str], counts: tuple[int, int], required: tuple[bool, ...]
) -> None:
    fewest, most = counts
    if not fewest <= len(names) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        msg = f"has {len(names)} {kind}s, wanted {wanted}"
        raise InvalidModelError(msg)
    # Shorter than names when the last parameter may be repeated.
    for index, must in enumerate(required[: len(names)]):
        if must and not names[index]:
            msg = f"leaves out {kind} {index}, which is required"
            raise InvalidModelError(msg)


def _check_attribute_types(attributes: Sequence[AttributeProto], operator: _Operator) -> None:
    for attribute in attributes:
        name = attribute.name
        wanted = operator.attributes.get(name)
        if wanted is None:
            # Two underscores mark notes that a runtime made for itself.
            if name.startswith("__"):
                continue
            known = ", ".join(sorted(operator.attributes)) or "none"
            msg = f"has attribute '{printable(name)}', which its operator does not know"
            raise InvalidModelError(msg, hint=f"known: {known}")
        if attribute.type != wanted:
            types = AttributeProto.AttributeType
            msg = (
                f"has attribute '{name}' of type {types.Name(attribute.type)}, "
                f"wanted {types.Name(wanted)}"
            )
            raise InvalidModelError(msg)
    missing = operator.required_attributes - {attribute.name for attribute in attributes}
    if missing:
        msg = f"lacks attribute '{min(missing)}'"
        raise InvalidModelError(msg)

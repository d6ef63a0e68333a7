"""Tell whether nodes are a function's body, and with which inputs and attributes.

The body is a pattern whose names are variables. Where nodes equal it under one assignment of names
and attributes, a call with that assignment computes what they compute; whatever changed in them on
the way does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from onnxprune.io.place import normal_domain

if TYPE_CHECKING:
    from collections.abc import Sequence


class Match:
    """One assignment of a function's names and attributes, built up node by node.

    Args:
        function: the function.

    Attributes:
        names: by name in the body, the name outside of it; "" for an input left out.
        attributes: by attribute of the function, its value; None where it is left out.
    """

    def __init__(self, function: onnx.FunctionProto) -> None:
        self.function = function
        self.names: dict[str, str] = {"": ""}
        self.attributes: dict[str, onnx.AttributeProto | None] = {}

    def nodes(self, body: Sequence[onnx.NodeProto], found: Sequence[onnx.NodeProto]) -> bool:
        """Tell whether nodes found elsewhere equal those of a body, and learn the assignment."""
        return len(body) == len(found) and all(map(self._node, body, found))

    def _node(self, body: onnx.NodeProto, found: onnx.NodeProto) -> bool:
        same = all(
            getattr(body, name) == getattr(found, name) for name in ("op_type", "overload")
        ) and normal_domain(body.domain) == normal_domain(found.domain)
        return (
            same
            and self._bind_all(body.input, found.input)
            and self._node_attributes(body, found)
            and self._bind_all(body.output, found.output)
        )

    def _bind_all(self, body: Sequence[str], found: Sequence[str]) -> bool:
        length = max(len(body), len(found))
        padded = ([*names, *[""] * (length - len(names))] for names in (body, found))
        return all(map(self._bind, *padded))

    def _bind(self, name: str, value: str) -> bool:
        return self.names.setdefault(name, value) == value

    def _node_attributes(self, body: onnx.NodeProto, found: onnx.NodeProto) -> bool:
        values = {a.name: a for a in found.attribute}
        for attribute in body.attribute:
            value = values.pop(attribute.name, None)
            if attribute.ref_attr_name:
                if not self._refer(attribute.ref_attr_name, value):
                    return False
            elif value is None or not self._same(attribute, value):
                return False
        return not values

    def _refer(self, name: str, value: onnx.AttributeProto | None) -> bool:
        if value is not None:
            value = _renamed(value, name)
        elif any(a.name == name for a in self.function.attribute_proto):
            return False  # left out, it has a default
        return self.attributes.setdefault(name, value) == value

    def _same(self, body: onnx.AttributeProto, found: onnx.AttributeProto) -> bool:
        if body.HasField("g") and found.HasField("g"):
            return self._graph(body.g, found.g)
        return _plain(body) == _plain(found)

    def _graph(self, body: onnx.GraphProto, found: onnx.GraphProto) -> bool:
        inner = Match(self.function)
        inner.names, inner.attributes = dict(self.names), self.attributes
        for field in ("input", "initializer", "sparse_initializer", "value_info", "output"):
            if len(getattr(body, field)) != len(getattr(found, field)):
                return False
        same = (
            not body.sparse_initializer
            and inner._bind_all([i.name for i in body.input], [i.name for i in found.input])
            and all(map(inner._tensor, body.initializer, found.initializer))
            and inner.nodes(body.node, found.node)
            and inner._bind_all([o.name for o in body.output], [o.name for o in found.output])
            and all(
                a.type == b.type
                for field in ("input", "value_info", "output")
                for a, b in zip(getattr(body, field), getattr(found, field), strict=True)
            )
        )
        seen = {n: inner.names[n] for n in self.function.input if n in inner.names}
        return same and all(self._bind(n, v) for n, v in seen.items())

    def _tensor(self, body: onnx.TensorProto, found: onnx.TensorProto) -> bool:
        return self._bind(body.name, found.name) and _nameless(body) == _nameless(found)

    def call(self, like: onnx.NodeProto, name: str, *, same_names: bool) -> onnx.NodeProto | None:
        """Return the call that stands for the nodes matched, None when it cannot be written.

        Args:
            like: the call as it was before the function was expanded.
            name: the new node's name.
            same_names: whether that call speaks of values by the names they have outside.
        """
        function = self.function
        call = onnx.NodeProto()
        call.CopyFrom(like)
        if name != like.name:
            call.name = name
        inputs = [self.names.get(formal) for formal in function.input]
        outputs = [self.names.get(formal) for formal in function.output]
        if any(inputs[len(like.input) :]):
            return None
        for position, given in enumerate(like.input):
            value = inputs[position]
            if value is None and given and not same_names:
                return None  # nothing in the body reads it, so nothing says what it is
            call.input[position] = given if value is None else value
        for position, given in enumerate(like.output):
            value = outputs[position]
            if value is None:
                return None  # the body returns an input
            call.output[position] = value if given else ""
        defaults = {a.name: a for a in function.attribute_proto}
        written = {a.name: a for a in like.attribute if not a.ref_attr_name}
        for key, bound in self.attributes.items():
            if bound is not None and (key in written or defaults.get(key) != bound):
                written[key] = bound
        call.ClearField("attribute")
        call.attribute.extend(written.values())
        return call


def _renamed(attribute: onnx.AttributeProto, name: str) -> onnx.AttributeProto:
    copy = _plain(attribute)
    copy.name = name
    return copy


def _plain(attribute: onnx.AttributeProto) -> onnx.AttributeProto:
    copy = onnx.AttributeProto()
    copy.CopyFrom(attribute)
    copy.ClearField("doc_string")
    copy.ClearField("ref_attr_name")
    if copy.HasField("t"):
        copy.t.CopyFrom(_nameless(copy.t))
    return copy


def _nameless(tensor: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.ClearField("name")
    copy.ClearField("doc_string")
    return copy

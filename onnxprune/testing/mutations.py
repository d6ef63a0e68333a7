"""Make broken files of good ones: bytes, protobuf fields, graphs, tensors, names.

A mutation gets a model and a source of randomness and changes one thing. What comes out may be
valid, refused or nonsense; only how a program takes it is of interest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx
from google.protobuf.message import DecodeError, EncodeError
from onnx import AttributeProto, TensorProto

from onnxprune.io.wire import BYTES, WireError, encode_varint, fields

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

    from google.protobuf.descriptor import FieldDescriptor
    from google.protobuf.message import Message

    Mutation = Callable[[onnx.ModelProto, random.Random], None]

EDGES = (0, 1, -1, 2, 3, 7, 127, 128, 255, 1 << 16, 1 << 31, -(1 << 31), 1 << 32, (1 << 40) + 1,
         (1 << 62), (1 << 63) - 1, -(1 << 63))  # fmt: skip
"""Numbers at which arithmetic goes wrong."""

TEXTS = ("", " ", "x", "y", "\x1b[2J\x1b]0;owned\x07", "<script>alert(1)</script>", "::error::x",
         "##vso[task.setvariable variable=x]y", "../../etc/passwd", "a/../b", "\u202eevil",
         "a\nb\r\n", "\0", "%s%n{0}", "x" * 5000,
         "float32", "1e308", "-1", "ai.onnx", "com.microsoft", "Relu", "Conv")  # fmt: skip
"""Names that something may choke on."""

_LOCATIONS: tuple[Any, ...] = (TensorProto.EXTERNAL, TensorProto.EXTERNAL, 0, 7)
FLOATS = (0.0, -0.0, 1.0, -1.0, 1e-45, 1e38, float("inf"), float("-inf"), float("nan"))


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return a model file with one to three things changed.

    Args:
        content: a serialised model.
        rng: where choices come from; the same state gives the same bytes.
    """
    result = content
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        level = rng.choice(("bytes", "wire", *["model"] * 8))
        if level == "bytes":
            result = mutate_bytes(result, rng)
        elif level == "wire":
            result = mutate_wire(result, rng)
        else:
            result = _mutate_model(result, rng)
    return result


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flip, set, drop, insert or repeat bytes, cut the end off, or append another file."""
    data = bytearray(content or b"\0")
    at = rng.randrange(len(data))
    match rng.randrange(7):
        case 0:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        case 1:
            data[at] ^= 1 << rng.randrange(8)
        case 2:
            del data[at : at + rng.randrange(1, 40)]
        case 3:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        case 4:
            source = rng.randrange(len(data))
            data[at:at] = data[source : source + rng.randrange(1, 300)]
        case 5:
            del data[at:]
        case _:
            data += data[: rng.choice((at, len(data)))]
    return bytes(data)


def mutate_wire(content: bytes, rng: random.Random) -> bytes:
    """Drop, repeat, renumber or retype one field, a few messages below the top."""
    buffer = memoryview(content)
    start, end, headers = 0, len(content), []
    try:
        found = list(fields(buffer, start, end))
        while True:
            chosen = rng.choice(found)
            inside = _parts(buffer, chosen.value, chosen.end) if chosen.wire_type == BYTES else []
            if not inside or rng.random() < 0.3:
                break
            headers.append((start, end, chosen))
            start, end, found = chosen.value, chosen.end, inside
    except (WireError, IndexError):
        return mutate_bytes(content, rng)
    payload = content[chosen.value : chosen.end]
    match rng.randrange(4):
        case 0:
            new = b""
        case 1:
            new = content[chosen.start : chosen.end] * rng.choice((2, 3, 50))
        case 2:
            number = rng.choice((1, 2, 4, 5, 7, 8, 9, 13, 14, 20, 25, 99, (1 << 29) - 1))
            tag = encode_varint(number << 3 | chosen.wire_type)
            new = content[chosen.start : chosen.end].replace(
                encode_varint(chosen.number << 3 | chosen.wire_type), tag, 1
            )
        case _:  # another wire type
            new = encode_varint(chosen.number << 3) + encode_varint(rng.choice(EDGES) % (1 << 64))
            if chosen.wire_type != BYTES:
                tag = encode_varint(chosen.number << 3 | BYTES)
                new = tag + encode_varint(len(payload)) + payload
    data = content[start : chosen.start] + new + content[chosen.end : end]
    for outer_start, outer_end, field in reversed(headers):
        tag = encode_varint(field.number << 3 | BYTES) + encode_varint(len(data))
        data = content[outer_start : field.start] + tag + data + content[field.end : outer_end]
    return data


def _parts(buffer: memoryview, start: int, end: int) -> list[Any]:
    try:
        return list(fields(buffer, start, end)) if end - start < 1 << 20 else []
    except WireError:
        return []


def _mutate_model(content: bytes, rng: random.Random) -> bytes:
    """Apply one mutation that finds something to change."""
    for mutation in rng.sample(MUTATIONS, len(MUTATIONS)):
        model = onnx.ModelProto()
        try:
            model.ParseFromString(content)
            mutation(model, rng)
            return bytes(model.SerializeToString())
        except DecodeError:  # no model any more
            break
        except (EncodeError, IndexError, TypeError, ValueError):  # nothing of that kind in it
            continue
    return mutate_bytes(content, rng)


def graphs(model: onnx.ModelProto) -> list[onnx.GraphProto]:
    """Return the main graph and every graph inside it."""
    found = [model.graph]
    for graph in found:
        found += [a.g for n in graph.node for a in n.attribute if a.HasField("g")]
    return found


def _nodes(model: onnx.ModelProto, rng: random.Random) -> Any:  # noqa: ANN401  # two containers
    """Return the node list of a graph or a function."""
    return rng.choice([*(g.node for g in graphs(model)), *(f.node for f in model.functions)])


def _node(model: onnx.ModelProto, rng: random.Random) -> onnx.NodeProto:
    node: onnx.NodeProto = rng.choice(_nodes(model, rng))
    return node


def _names(model: onnx.ModelProto) -> list[str]:
    graph = model.graph
    made = [o for n in graph.node for o in n.output]
    return [*made, *(i.name for i in graph.input), *(t.name for t in graph.initializer), "", "new"]


def _tensors(model: onnx.ModelProto) -> list[TensorProto]:
    tensors = [t for g in graphs(model) for t in g.initializer]
    lists = [*(g.node for g in graphs(model)), *(f.node for f in model.functions)]
    tensors += [a.t for nodes in lists for n in nodes for a in n.attribute if a.HasField("t")]
    return tensors


def _rewire(model: onnx.ModelProto, rng: random.Random) -> None:
    names = rng.choice([n for n in _nodes(model, rng) if n.input]).input
    names[rng.randrange(len(names))] = rng.choice(_names(model))


def _inputs(model: onnx.ModelProto, rng: random.Random) -> None:
    names = _node(model, rng).input
    match rng.randrange(3):
        case 0:
            names.append(rng.choice(_names(model)))
        case 1:
            del names[rng.randrange(len(names))]
        case _:
            names.reverse()


def _outputs(model: onnx.ModelProto, rng: random.Random) -> None:
    names = _node(model, rng).output
    match rng.randrange(3):
        case 0:
            names.append(rng.choice(_names(model)))
        case 1:
            del names[-1:]
        case _:
            names[rng.randrange(len(names))] = rng.choice(_names(model))


def _operator(model: onnx.ModelProto, rng: random.Random) -> None:
    node, other = _node(model, rng), _node(model, rng)
    if rng.random() < 0.3:
        node.domain = rng.choice(("", "ai.onnx", "com.microsoft", "ai.onnx.ml", "custom"))
        return
    known = [s.name for s in onnx.defs.get_all_schemas()]
    node.op_type = rng.choice((other.op_type, rng.choice(known), rng.choice(TEXTS)))


def _order(model: onnx.ModelProto, rng: random.Random) -> None:
    nodes = _nodes(model, rng)
    match rng.randrange(3):
        case 0:
            nodes.add().CopyFrom(rng.choice(nodes))
        case 1:
            del nodes[rng.randrange(len(nodes))]
        case _:
            nodes.reverse()


def _attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    choices = [a for n in _nodes(model, rng) for a in n.attribute]
    attribute = rng.choice(choices)
    match rng.randrange(5):
        case 0:
            attribute.type = rng.choice(AttributeProto.AttributeType.values())
        case 1:
            attribute.i = rng.choice(EDGES)
            if attribute.ints:
                attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(EDGES)
        case 2:
            name = attribute.name
            value: Any = rng.choice((1, 1.5, "text", [1, 2], [], [1.0], ["a"], [0] * 100))
            kind = AttributeProto.INTS if value == [] else None
            attribute.CopyFrom(onnx.helper.make_attribute(name, value, attr_type=kind))
        case 3:
            attribute.name = rng.choice((rng.choice(choices).name, *TEXTS[:4]))
        case _:
            if attribute.ints and rng.random() < 0.5:
                attribute.ints.append(rng.choice(EDGES))
            else:
                attribute.f = rng.choice(FLOATS)


def _drop_attribute(model: onnx.ModelProto, rng: random.Random) -> None:
    node = rng.choice([n for n in _nodes(model, rng) if n.attribute])
    at = rng.randrange(len(node.attribute))
    if rng.random() < 0.6:
        del node.attribute[at]
    else:
        node.attribute.add().CopyFrom(node.attribute[at])


def _tensor(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(_tensors(model))
    match rng.randrange(6):
        case 0:
            tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(EDGES)
        case 1:
            tensor.data_type = rng.choice((*TensorProto.DataType.values(), 99, -1))
        case 2:
            tensor.raw_data = mutate_bytes(tensor.raw_data, rng)
        case 3:
            dims = list(tensor.dims)
            rng.shuffle(dims)
            tensor.dims[:] = rng.choice((dims, dims[1:], [1, *dims], [*dims, 1], []))
        case 4:
            other = rng.choice(_tensors(model))
            name = tensor.name
            tensor.CopyFrom(other)
            tensor.name = name
        case _:
            tensor.float_data.extend(rng.choice(FLOATS) for _ in range(rng.randrange(1, 4)))


def _swap_tensors(model: onnx.ModelProto, rng: random.Random) -> None:
    one, two = rng.choice(_tensors(model)), rng.choice(_tensors(model))
    one.name, two.name = two.name, one.name


def _external(model: onnx.ModelProto, rng: random.Random) -> None:
    tensor = rng.choice(_tensors(model))
    if not tensor.external_data:
        tensor.ClearField("raw_data")
        tensor.external_data.add(key="location", value="weights.bin")
    tensor.data_location = rng.choice(_LOCATIONS)
    key = rng.choice(("location", "offset", "length", "checksum", "basepath", "", "field"))
    values = (
        *TEXTS, *map(str, EDGES), "weights.bin", "/etc/passwd", "..\\x", "./model.onnx",
        "/dev/zero", "file:///etc/passwd", "*/_ORT_MEM_ADDR_/*", "0x10", "1_0", "\u0661",
    )  # fmt: skip
    entries = [e for e in tensor.external_data if e.key == key]
    entry = rng.choice(entries) if entries else tensor.external_data.add(key=key)
    entry.value = rng.choice(values)


def _declared(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = rng.choice(graphs(model))
    value = rng.choice([*graph.input, *graph.output, *graph.value_info])
    kind = value.type.tensor_type
    match rng.randrange(6):
        case 0:
            kind.elem_type = rng.choice((*TensorProto.DataType.values(), 99))
        case 1:
            rng.choice(kind.shape.dim).dim_value = rng.choice(EDGES)
        case 2:
            rng.choice(kind.shape.dim).dim_param = rng.choice(TEXTS)
        case 3:
            kind.shape.dim.add(dim_value=rng.choice(EDGES))
        case 4:
            value.type.sequence_type.elem_type.tensor_type.elem_type = 1
        case _:
            value.name = rng.choice(_names(model))


def _interface(model: onnx.ModelProto, rng: random.Random) -> None:
    graph = rng.choice(graphs(model))
    values = rng.choice((graph.input, graph.output))
    match rng.randrange(3):
        case 0:
            del values[rng.randrange(len(values))]
        case 1:
            values.add().CopyFrom(rng.choice((*graph.input, *graph.output)))
        case _:
            values.add(name=rng.choice(_names(model)))


def _versions(model: onnx.ModelProto, rng: random.Random) -> None:
    if rng.random() < 0.3:
        model.ir_version = rng.choice((*range(1, 16), *EDGES))
        return
    imports = rng.choice([model.opset_import, *(f.opset_import for f in model.functions)])
    if rng.random() < 0.2:
        imports.add(domain=rng.choice(TEXTS), version=rng.choice(EDGES))
    else:
        rng.choice(imports).version = rng.choice((*range(1, 30), *EDGES))


def _rename(model: onnx.ModelProto, rng: random.Random) -> None:
    """Give a value another name wherever it occurs, so that the graph stays whole."""
    old, new = rng.choice(_names(model)), rng.choice((*TEXTS, *_names(model)))
    for graph in graphs(model):
        for node in graph.node:
            node.input[:] = [new if n == old else n for n in node.input]
            node.output[:] = [new if n == old else n for n in node.output]
        named: Any
        for named in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            if named.name == old:
                named.name = new


def _body(model: onnx.ModelProto, rng: random.Random) -> None:
    """Put a node into a function or a branch, or change which values a body has."""
    if model.functions and rng.random() < 0.5:
        function = rng.choice(model.functions)
        names = rng.choice((function.input, function.output, function.attribute))
        match rng.randrange(3):
            case 0:
                names.append(rng.choice((*TEXTS, *_names(model))))
            case 1:
                del names[-1:]
            case _:
                model.functions.add().CopyFrom(function)
        return
    nodes = _nodes(model, rng)
    node = rng.choice(nodes)
    if rng.random() < 0.5:  # into a function of its own
        name = rng.choice(("Own", node.op_type))
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        opsets = list(model.opset_import)
        inputs = list(dict.fromkeys(i for i in node.input if i))
        made = onnx.helper.make_function("own", name, inputs, list(node.output), [inner], opsets)
        model.functions.append(made)
        model.opset_import.add(domain="own", version=1)
        node.CopyFrom(onnx.helper.make_node(name, inputs, list(node.output), domain="own"))
        return
    branch = onnx.GraphProto(name="branch")
    branch.node.add().CopyFrom(node)
    for number, output in enumerate(node.output):
        branch.node[0].output[number] = f"{output}_inner"
        info = onnx.helper.make_tensor_value_info(f"{output}_inner", TensorProto.FLOAT, None)
        branch.output.append(info)
    flag = onnx.helper.make_tensor("flag", TensorProto.BOOL, (), [True])
    model.graph.initializer.append(flag)
    made_if = onnx.helper.make_node("If", ["flag"], list(node.output), then_branch=branch,
                                    else_branch=branch)  # fmt: skip
    node.CopyFrom(made_if)


def _any_field(model: onnx.ModelProto, rng: random.Random) -> None:
    """Clear, repeat or overwrite any field of any message, whatever it means."""
    message: Message = model
    while True:
        present = [f for f, _ in message.ListFields()]
        inner = list(_messages(message))
        if inner and rng.random() < 0.75:
            message = rng.choice(inner)
            continue
        _overwrite(message, rng.choice(present), rng)
        return


def _messages(message: Message) -> Iterator[Message]:
    for field, value in message.ListFields():
        if field.message_type is not None:
            yield from value if field.is_repeated else [value]


def _overwrite(message: Message, field: FieldDescriptor, rng: random.Random) -> None:
    value = getattr(message, field.name)
    if rng.random() < 0.3:
        message.ClearField(field.name)
    elif field.message_type is not None:
        if field.is_repeated:
            value.add().CopyFrom(rng.choice(value))
        else:
            value.Clear()
    else:
        kinds: dict[str, tuple[Any, ...]] = {"str": TEXTS, "float": FLOATS, "int": EDGES}
        like = value[0] if field.is_repeated else value
        new = rng.choice(kinds.get(type(like).__name__, (b"", b"\xff\xfe", b"SAME_UPPER")))
        if field.is_repeated:
            value[rng.randrange(len(value))] = new
        else:
            setattr(message, field.name, new)


MUTATIONS: tuple[Mutation, ...] = (
    _rewire, _inputs, _outputs, _operator, _order, _attribute, _drop_attribute, _tensor, _tensor,
    _swap_tensors, _external, _declared, _interface, _versions, _rename, _body, _any_field,
    _any_field,
)  # fmt: skip
"""Ways to change a model; those with more to get wrong are there twice."""

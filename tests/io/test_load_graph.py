"""Graphs, nodes, versions, names: refused when they cannot be right, accepted when they run."""

from __future__ import annotations

import onnx
import pytest
from onnx import AttributeProto, TensorProto, helper

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model

node = helper.make_node
FLOAT = TensorProto.FLOAT
TRUE = helper.make_tensor("true", TensorProto.BOOL, [], [True])


def value(name, dims=(2, 2)):
    return helper.make_tensor_value_info(name, FLOAT, dims)


def tensor(name, number=1.0):
    return helper.make_tensor(name, FLOAT, [1], [number])


def model(
    nodes, *, weights=(), inputs=("x",), outputs=("y",), opset=17, ir_version=8, functions=()
):
    graph = helper.make_graph(
        nodes, "g", [value(name) for name in inputs], [value(n) for n in outputs], [*weights, TRUE]
    )
    opsets = [helper.make_opsetid("", opset)]
    opsets += [helper.make_opsetid(domain, 1) for domain in sorted({f.domain for f in functions})]
    return helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions)
    )


def branch(*nodes, out="t", weights=()):
    return helper.make_graph(nodes, "branch", [], [value(out)], list(weights))


def if_node(*nodes, out="t", weights=()):
    return node(
        "If",
        ["true"],
        ["y"],
        name="choose",
        then_branch=branch(*nodes, out=out, weights=weights),
        else_branch=branch(node("Neg", ["x"], ["e"]), out="e"),
    )


def attributed(op_type, *attributes):
    made = node(op_type, ["x"], ["y"], name="odd")
    made.attribute.extend(attributes)
    return made


def attribute(name, kind, **fields):
    return AttributeProto(name=name, type=kind, **fields)


INT = AttributeProto.INT
OPSET = helper.make_opsetid("", 17)
RELU = node("Relu", ["x"], ["y"], name="relu")

REFUSED = {
    # names
    "input without a name": (model([RELU], inputs=("x", "")), "graph input has no name"),
    "two inputs of a name": (model([RELU], inputs=("x", "x")), "already the name"),
    "two initializers of a name": (model([RELU], weights=[tensor("k"), tensor("k")]), "twice"),
    "initializer without a name": (model([RELU], weights=[tensor("")]), "no name"),
    "value written twice": (model([RELU, node("Neg", ["x"], ["y"])]), "already defined"),
    "node writes an input": (
        model([node("Shape", ["k"], ["x"]), RELU], weights=[tensor("k")]),
        "already defined",
    ),
    "node writes an initializer": (
        model([node("Neg", ["x"], ["k"]), RELU], weights=[tensor("k")]),
        "already defined",
    ),
    "node writes a value twice": (model([node("Split", ["x"], ["y", "y"])]), "already defined"),
    "two nodes of a name": (
        model([node("Neg", ["x"], ["a"], name="n"), node("Neg", ["a"], ["y"], name="n")]),
        "same name as a node",
    ),
    "inner node hides an outer value": (
        model([node("Neg", ["x"], ["a"]), if_node(node("Neg", ["x"], ["a"]), out="a")]),
        "already defined",
    ),
    # edges
    "undefined input": (model([node("Relu", ["nothing"], ["y"])]), "reads 'nothing'"),
    "undefined output": (model([RELU], outputs=("z",)), "graph output 'z'"),
    "no outputs": (model([RELU], outputs=()), "no outputs"),
    "reads itself": (model([node("Relu", ["y"], ["y"])]), "cycle"),
    "cycle": (model([node("Add", ["x", "y"], ["a"]), node("Neg", ["a"], ["y"])]), "cycle"),
    "cycle through a branch": (
        model([if_node(node("Neg", ["z"], ["t"])), node("Neg", ["y"], ["z"])], outputs=("z",)),
        "cycle",
    ),
    "branch out of order": (
        model([if_node(node("Neg", ["q"], ["t"]), node("Neg", ["x"], ["q"]))]),
        "reads 'q'",
    ),
    "branch returns an outer value": (model([if_node(out="x")]), "graph output 'x'"),
    "value of the other branch": (
        model([if_node(node("Neg", ["e"], ["t"]))]),
        "reads 'e'",
    ),
    # operators
    "no operator": (model([node("", ["x"], ["y"])]), "has no operator"),
    "too few inputs": (model([node("Add", ["x"], ["y"])]), "1 inputs, wanted 2"),
    "no inputs": (model([node("Conv", [], ["y"])]), "0 inputs, wanted 2 to 3"),
    "too many inputs": (model([node("Relu", ["x", "x"], ["y"])]), "2 inputs, wanted 1"),
    "too many empty inputs": (model([node("Relu", ["x", ""], ["y"])]), "2 inputs, wanted 1"),
    "required input left out": (model([node("Add", ["", "x"], ["y"])]), "leaves out input 0"),
    "too many outputs": (model([node("Relu", ["x"], ["y", "z"])]), "2 outputs"),
    "no such domain": (model([node("Any", ["x"], ["y"], domain="acme")]), "does not import"),
    "operator that is gone": (model([node("Upsample", ["x", "x"], ["y"])]), "no longer has"),
    # attributes
    "string for a number": (
        model([attributed("Softmax", attribute("axis", AttributeProto.STRING, s=b"1"))]),
        "of type STRING, wanted INT",
    ),
    "list for a number": (
        model([attributed("Softmax", attribute("axis", AttributeProto.INTS, ints=[1]))]),
        "of type INTS, wanted INT",
    ),
    "type without its value": (
        model([attributed("Softmax", attribute("axis", INT, s=b"1"))]),
        "of type INT with a value in",
    ),
    "two values": (
        model([attributed("Softmax", attribute("axis", INT, i=1, s=b"1"))]),
        "of type INT with a value in",
    ),
    "no type": (model([attributed("Softmax", AttributeProto(name="axis", i=1))]), "without a type"),
    "no name": (model([attributed("Softmax", attribute("", INT, i=1))]), "without a name"),
    "given twice": (
        model([attributed("Softmax", *[attribute("axis", INT, i=n) for n in (0, 1)])]),
        "'axis' twice",
    ),
    "unknown": (model([attributed("Relu", attribute("what", INT, i=1))]), "does not know"),
    "required attribute missing": (model([node("Cast", ["x"], ["y"])]), "lacks attribute 'to'"),
    "graph that is not there": (
        model([node("If", ["true"], ["y"])]),
        "lacks attribute",
    ),
    "graph attribute without a graph": (
        model([attributed("If", attribute("then_branch", AttributeProto.GRAPH))]),
        "of type GRAPH with a value in",
    ),
    "reference outside of a function": (
        model([attributed("Softmax", attribute("axis", INT, ref_attr_name="axis"))]),
        "not in",
    ),
    # versions
    **{
        f"ir_version {version}": (model([RELU], ir_version=version), "ir_version")
        for version in (0, 1, 2, 14, 99, -1, 1 << 40)
    },
    **{
        f"opset {version}": (model([RELU], opset=version), "imports opset")
        for version in (-5, 0, 1, 6, 999, 1 << 40)
    },
}


@pytest.mark.parametrize(("proto", "said"), REFUSED.values(), ids=REFUSED)
def test_refused(save, proto, said):
    with pytest.raises(InvalidModelError, match=said) as caught:
        load_model(save(proto))
    assert str(caught.value).isprintable()


SHADOWED = helper.make_graph(
    [node("Add", ["k", "x"], ["t"]), node("Identity", ["go"], ["more"])],
    "body",
    [
        helper.make_tensor_value_info("i", TensorProto.INT64, []),
        helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        value("k"),
    ],
    [helper.make_tensor_value_info("more", TensorProto.BOOL, []), value("t")],
)

ACCEPTED = {
    "plain": model([RELU]),
    "oldest": model([RELU], opset=7, ir_version=3),
    "unknown operator": model([node("Unheard", ["x"], ["y"])]),
    "contrib operator without import": model(
        [node("BiasGelu", ["x", "k"], ["y"], domain="com.microsoft")], weights=[tensor("k")]
    ),
    "optional inputs left out": model([node("Clip", ["x", "", ""], ["y"])]),
    "optional output left out": model([node("Dropout", ["x"], ["y", ""])]),
    "note of a runtime": model([attributed("Relu", attribute("__note", INT, i=1))]),
    "attribute without a value": model([attributed("Softmax", attribute("axis", INT))]),
    "output is an input": model([RELU], outputs=("x", "y")),
    "output twice": model([RELU], outputs=("y", "y")),
    "output is an initializer": model([RELU], outputs=("true", "y")),
    "initializer is an input": model([RELU], weights=[tensor("k")], inputs=("x", "k")),
    "nodes without names": model([node("Neg", ["x"], ["a"]), node("Neg", ["a"], ["y"])]),
    "constants of one name": model(
        [
            node("Constant", [], ["a"], name="n", value_float=1.0),
            node("Constant", [], ["b"], name="n", value_float=2.0),
            node("Sum", ["x", "a", "b"], ["y"], name="n"),
        ]
    ),
    "branch": model([if_node(node("Neg", ["x"], ["t"]))]),
    "branch writes what the node writes": model([if_node(node("Neg", ["x"], ["y"]), out="y")]),
    "branch returns its own weight": model([if_node(out="k", weights=[tensor("k")])]),
    "branch hides a weight": model(
        [if_node(node("Add", ["x", "k"], ["t"]), weights=[tensor("k")])], weights=[tensor("k")]
    ),
    "loop input hides a weight": model(
        [node("Loop", ["", "true", "k"], ["a"], body=SHADOWED), node("Add", ["a", "k"], ["y"])],
        weights=[tensor("k")],
    ),
    "branch writes a later name": model(
        [
            if_node(node("Neg", ["x"], ["a"]), node("Neg", ["a"], ["t"])),
            node("Neg", ["x"], ["a"]),
        ]
    ),
    "no shape": helper.make_model(
        helper.make_graph(
            [RELU],
            "g",
            [helper.make_tensor_value_info("x", FLOAT, None)],
            [onnx.ValueInfoProto(name="y")],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    ),
}


@pytest.mark.parametrize("proto", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted_and_unchanged(save, proto):
    assert load_model(save(proto)).proto == proto


def test_default_domain_has_two_spellings(save):
    proto = model([RELU])
    proto.opset_import.add(domain="ai.onnx", version=17)
    assert load_model(save(proto)).proto == proto
    proto.opset_import[1].version = 18
    with pytest.raises(InvalidModelError, match="in versions 17 and 18"):
        load_model(save(proto))


@pytest.mark.parametrize(
    ("domain", "version"), [("ai.onnx.ml", 999), ("acme", 0), ("acme", -1), ("acme", 1 << 40)]
)
def test_versions_of_other_domains(save, domain, version):
    proto = model([RELU])
    proto.opset_import.add(domain=domain, version=version)
    with pytest.raises(InvalidModelError, match=domain):
        load_model(save(proto))


def test_no_opset(save):
    proto = model([RELU])
    del proto.opset_import[:]
    with pytest.raises(InvalidModelError, match="does not import"):
        load_model(save(proto))


def test_nodes_are_put_into_order(save):
    nodes = [
        node("Add", ["b", "c"], ["y"], name="last"),
        if_node(node("Neg", ["late"], ["t"])),
        node("Neg", ["x"], ["b"], name="first"),
        node("Neg", ["x"], ["late"], name="second"),
    ]
    nodes[1].output[0] = "c"
    proto = load_model(save(model(nodes))).proto
    assert [n.name for n in proto.graph.node] == ["first", "second", "choose", "last"]


def test_input_without_a_type(save):
    proto = model([RELU])
    proto.graph.input.add(name="u")
    with pytest.raises(InvalidModelError, match="'u' has no type"):
        load_model(save(proto))


@pytest.mark.parametrize("place", ["input", "output", "value_info", "branch", "function"])
def test_declared_type_that_is_none(save, place):
    proto = model([if_node(node("Neg", ["x"], ["t"]))])
    odd = helper.make_tensor_value_info("t", 99, [2])
    if place == "branch":
        proto.graph.node[0].attribute[0].g.value_info.append(odd)
    elif place == "function":
        body = helper.make_function("f", "F", ["p"], ["q"], [node("Neg", ["p"], ["q"])], [OPSET])
        body.value_info.append(odd)
        proto.functions.append(body)
    else:
        getattr(proto.graph, place).append(odd)
    with pytest.raises(InvalidModelError, match="'t' is declared with element type 99"):
        load_model(save(proto))


@pytest.mark.parametrize("field", ["name", "doc_string", "op_type", "input"])
def test_text_that_is_not_utf8(save, field):
    proto = model([node("Relu", ["x"], ["y"], name="mark", doc_string="mark")])
    found = proto.graph.node[0]
    if field in ("op_type", "input"):
        setattr(found, "op_type", "mark") if field == "op_type" else found.input.append("mark")
        found.name = found.doc_string = ""
    content = proto.SerializeToString().replace(b"mark", b"m\xff\xfek")
    with pytest.raises(InvalidModelError, match=r"not UTF-8: 'm\\xff\\xfek'"):
        load_model(save(content))


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\nb", "<script>", "::error::x", "\u202ea"])
def test_odd_names_are_allowed_and_escaped(save, name):
    good = model([node("Relu", ["x"], [name]), node("Neg", [name], ["y"], name=name)])
    assert load_model(save(good)).proto == good
    good.graph.node[1].input.append("x")
    with pytest.raises(InvalidModelError) as caught:
        load_model(save(good))
    assert str(caught.value).isprintable()

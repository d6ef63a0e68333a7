"""Damaged files: each loads, or is refused with one message; nothing else may happen."""

from __future__ import annotations

import random

import onnx
import pytest
from onnx import helper, numpy_helper

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model, write_model


def mutated(content, seed):
    """Flip, drop, insert and repeat bytes, some more often where lengths are."""
    chance = random.Random(seed)
    data = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(data))
        match chance.randrange(5):
            case 0:
                data[at] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            case 1:
                data[at] ^= 1 << chance.randrange(8)
            case 2:
                del data[at : at + chance.randrange(1, 40)]
            case 3:
                data[at:at] = chance.randbytes(chance.randrange(1, 9))
            case _:
                source = chance.randrange(len(data))
                data[at:at] = data[source : source + chance.randrange(1, 300)]
        data = data or bytearray(b"\0")
    return bytes(data)


@pytest.fixture
def rich_model(two_convs):
    """The two convolutions without most of their numbers, with a branch and a function beside."""
    for tensor in two_convs.graph.initializer:
        if len(tensor.raw_data) > 2000:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor)[:, :1], "w2"))
    opsets = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Neg", ["p"], ["q"])]
    two_convs.functions.append(helper.make_function("f", "F", ["p"], ["q"], body, opsets))
    two_convs.opset_import.add(domain="f", version=1)
    two_convs.graph.node.append(helper.make_node("F", ["y"], ["z"], domain="f"))
    return two_convs


@pytest.mark.parametrize("block", range(10))
def test_damaged_files(save, rich_model, tmp_path, block):
    content = rich_model.SerializeToString()
    refusals: list[str] = []
    loaded = 0
    for seed in range(block * 60, block * 60 + 60):
        path = save(mutated(content, seed))
        try:
            model = load_model(path)
        except InvalidModelError as error:
            refusals.append(str(error))
            continue
        for tensor in model.proto.graph.initializer:
            model.array(tensor)
        write_model(model.proto, tmp_path / "out.onnx", source=model)
        assert len(onnx.load(tmp_path / "out.onnx").graph.node) == len(model.proto.graph.node)
        loaded += 1
    assert loaded
    assert refusals
    assert "".join(refusals).isprintable()

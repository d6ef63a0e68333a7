"""External data: a location names a plain file beside or below the model and nothing else."""

from __future__ import annotations

import os

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model


@pytest.fixture
def model_with(save, two_convs, tmp_path):
    """Write a model whose w1 has the given external data entries; weights.bin holds its bytes."""

    def make(**entries):
        tensor = two_convs.graph.initializer[0]
        if tensor.raw_data:
            (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
        tensor.ClearField("raw_data")
        del tensor.external_data[:]
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        return save(two_convs)

    return make


@pytest.mark.parametrize(
    "location",
    [
        *("../weights.bin", "a/../../weights.bin", "..", "a/..", "./..//weights.bin"),
        *("/etc/passwd", "//host/share", "\\\\host\\share", "..\\weights.bin", "a\\b"),
        *("C:/weights.bin", "c:weights.bin", "file:///etc/passwd", "http://host/x", "data:,x"),
        *("weights.bin:stream", "weights.bin\0", "weights\n.bin", "\x1b[2J", "\x7f"),
        *("", ".", "./", "sub/", "*/_ORT_MEM_ADDR_/*", "x/_ORT_MEM_ADDR_"),
        *("model.onnx", "absent.bin", "sub", "x" * 5000, "%2e%2e/weights.bin", "~/weights.bin"),
    ],
    ids=ascii,
)
def test_locations_refused(model_with, tmp_path, location):
    (tmp_path / "sub").mkdir()
    with pytest.raises(InvalidModelError, match="w1"):
        load_model(model_with(location=location))


@pytest.mark.parametrize("location", ["weights.bin", "./weights.bin", "sub/deep/w ü.bin"])
@pytest.mark.parametrize("length", [{}, {"length": "1152"}])
def test_locations_accepted(model_with, two_convs, tmp_path, location, length):
    wanted = onnx.numpy_helper.to_array(two_convs.graph.initializer[0])
    path = model_with(location=location, **length)
    target = tmp_path / location
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        (tmp_path / "weights.bin").rename(target)
    model = load_model(path)
    assert model.external
    assert model.size_bytes == path.stat().st_size + 1152
    np.testing.assert_array_equal(model.array(model.proto.graph.initializer[0]), wanted)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"offset": "1"}, "wants bytes 1 to 1153"),
        ({"offset": "9" * 19}, "wants bytes"),
        ({"offset": "9" * 20}, "wanted a number"),
        ({"offset": "-1"}, "wanted a number"),
        ({"offset": "+1"}, "wanted a number"),
        ({"offset": "0x10"}, "wanted a number"),
        ({"offset": "1e3"}, "wanted a number"),
        ({"offset": " 1"}, "wanted a number"),
        ({"offset": ""}, "wanted a number"),
        ({"offset": "²"}, "wanted a number"),
        ({"length": "864"}, "864 bytes of external data"),
        ({"length": "0"}, "0 bytes of external data"),
        ({"length": str(2**63)}, "bytes of external data"),
        ({"length": "-1152"}, "wanted a number"),
    ],
)
def test_ranges_refused(model_with, entries, said):
    with pytest.raises(InvalidModelError, match=said):
        load_model(model_with(location="weights.bin", **entries))


def test_entry_given_twice(model_with, save, two_convs):
    model_with(location="weights.bin")
    two_convs.graph.initializer[0].external_data.add(key="location", value="../weights.bin")
    with pytest.raises(InvalidModelError, match="twice"):
        load_model(save(two_convs))


def test_no_entries(model_with):
    with pytest.raises(InvalidModelError, match="without a location"):
        load_model(model_with())


def test_data_file_too_short(external_model, tmp_path):
    data = tmp_path / "weights.bin"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(InvalidModelError, match="cut off"):
        load_model(external_model)


def test_data_file_is_an_lfs_pointer(external_model, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InvalidModelError, match="LFS"):
        load_model(external_model)


def test_empty_data_file(external_model, tmp_path):
    (tmp_path / "weights.bin").write_bytes(b"")
    with pytest.raises(InvalidModelError, match="which has 0"):
        load_model(external_model)


def test_link_is_not_followed(external_model, tmp_path):
    (tmp_path / "weights.bin").rename(tmp_path / "real.bin")
    (tmp_path / "weights.bin").symlink_to("real.bin")
    with pytest.raises(InvalidModelError, match="symbolic link"):
        load_model(external_model)


def test_directory_that_is_a_link_is_not_followed(model_with, tmp_path):
    path = model_with(location="sub/weights.bin")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "elsewhere" / "weights.bin")
    (tmp_path / "sub").symlink_to("elsewhere")
    with pytest.raises(InvalidModelError, match="w1"):
        load_model(path)


def test_second_hard_link_is_refused(external_model, tmp_path):
    (tmp_path / "secret").hardlink_to(tmp_path / "weights.bin")
    with pytest.raises(InvalidModelError, match="hard links"):
        load_model(external_model)


def test_fifo_does_not_block(external_model, tmp_path):
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    with pytest.raises(InvalidModelError, match="named pipe"):
        load_model(external_model)


def test_external_and_embedded_data_at_once(model_with, save, two_convs):
    model_with(location="weights.bin")
    two_convs.graph.initializer[0].raw_data = bytes(1152)
    with pytest.raises(InvalidModelError, match="outside"):
        load_model(save(two_convs))
    two_convs.graph.initializer[0].raw_data = bytes(8)
    with pytest.raises(InvalidModelError, match="only one"):
        load_model(save(two_convs))


def test_external_strings(save, two_convs):
    tensor = two_convs.graph.initializer.add(name="s", data_type=TensorProto.STRING, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    with pytest.raises(InvalidModelError, match="string tensor outside"):
        load_model(save(two_convs))


@pytest.mark.parametrize("field", ["raw_data", "float_data"])
@pytest.mark.parametrize("offset", ["0", "100"])
def test_file_cannot_claim_bytes_of_itself(save, two_convs, field, offset):
    # What a stub looks like inside, written by somebody else.
    tensor = two_convs.graph.initializer.add(name="spy", data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": "", "offset": offset, "length": "16", "field": field}
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    with pytest.raises(InvalidModelError, match="without a location"):
        load_model(save(two_convs))


def test_file_cannot_repeat_a_genuine_stub(save, two_convs):
    weight = two_convs.graph.initializer[0]
    path = save(two_convs)
    # The offset moves with the length of what is added, so look for the fixed point.
    for offset in range(2000):
        tensor = TensorProto(name="spy", data_type=TensorProto.FLOAT, dims=weight.dims)
        tensor.data_location = TensorProto.EXTERNAL
        entries = {"location": "", "offset": f"{offset:04}", "length": "1152", "field": "raw_data"}
        for key, value in entries.items():
            tensor.external_data.add(key=key, value=value)
        two_convs.graph.initializer.insert(0, tensor)
        content = two_convs.SerializeToString()
        del two_convs.graph.initializer[0]
        if content.find(weight.raw_data) == offset:
            break
    else:
        pytest.fail("no offset fits")
    path.write_bytes(content)
    with pytest.raises(InvalidModelError, match="without a location"):
        load_model(path)

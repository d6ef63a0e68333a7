"""Which files are opened at all, and what is said about those that are no models."""

from __future__ import annotations

import io
import os
import pickle
import zipfile

import pytest

from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model


def zip_bytes():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("data.pkl", b"x")
    return buffer.getvalue()


FILES = {
    "empty": (b"", "is empty"),
    "one byte": (b"\x08", "cut off"),
    "zeros": (bytes(5000), "zero bytes"),
    "zip": (zip_bytes(), "zip archive"),
    "pickle 2": (pickle.dumps({"a": 1}, protocol=2), "pickle"),
    "pickle 5": (pickle.dumps({"a": 1}, protocol=5), "pickle"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:01\n", "Git LFS pointer"),
    "html": (b"<!DOCTYPE html><html>", "HTML"),
    "html with space": (b"\n  <HTML><body>", "HTML"),
    "xml": (b"<?xml version='1.0'?>", "XML"),
    "json": (b'{"ir_version": 8}', "JSON"),
    "text": (b"ir_version: 8\ngraph { }\n", "text"),
    "safetensors": ((2).to_bytes(8, "little") + b"{}" + bytes(20), "safetensors"),
    "gguf": (b"GGUF" + bytes(40), "GGUF"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(40), "TensorFlow Lite"),
    "ort": (b"\x1c\0\0\0ORTM" + bytes(40), "ONNX Runtime's own format"),
    "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(40), "HDF5"),
    "npy": (b"\x93NUMPY\x01\x00" + bytes(40), "NumPy"),
    "gzip": (b"\x1f\x8b\x08" + bytes(40), "gzip"),
    "elf": (b"\x7fELF" + bytes(40), "ELF"),
    "pdf": (b"%PDF-1.7", "PDF"),
    "png": (b"\x89PNG\r\n", "PNG"),
    "no graph": (b"\x08\x08", "no graph"),
    "noise": (bytes(range(1, 200)), "ONNX model"),
}


@pytest.mark.parametrize(("content", "said"), FILES.values(), ids=FILES)
def test_says_what_a_file_is(save, content, said):
    with pytest.raises(InvalidModelError, match=said):
        load_model(save(content))


def test_truncated_anywhere(save, two_convs):
    content = two_convs.SerializeToString()
    for length in range(0, len(content), 37):
        with pytest.raises(InvalidModelError):
            load_model(save(content[:length]))


def test_concatenated_models(save, two_convs):
    content = two_convs.SerializeToString()
    with pytest.raises(InvalidModelError, match="a second time"):
        load_model(save(content + content))


@pytest.mark.parametrize("tail", [b"\0", b"\0" * 100, b"\xde\xad\xbe\xef", b"text", b"\xff"])
def test_trailing_bytes(save, two_convs, tail):
    with pytest.raises(InvalidModelError, match=r"cannot be read|cut off"):
        load_model(save(two_convs.SerializeToString() + tail))


def test_missing(tmp_path):
    with pytest.raises(InvalidModelError, match="No such file"):
        load_model(tmp_path / "absent.onnx")


def test_name_with_nul(tmp_path):
    with pytest.raises(InvalidModelError, match=r"\\x00"):
        load_model(f"{tmp_path}/a\0b")


def test_directory(tmp_path):
    with pytest.raises(InvalidModelError, match="directory"):
        load_model(tmp_path)


def test_fifo_does_not_block(tmp_path):
    path = tmp_path / "model.onnx"
    os.mkfifo(path)
    with pytest.raises(InvalidModelError, match="named pipe"):
        load_model(path)


def test_link_to_a_fifo(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "model.onnx").symlink_to("fifo")
    with pytest.raises(InvalidModelError, match="named pipe"):
        load_model(tmp_path / "model.onnx")


def test_device():
    with pytest.raises(InvalidModelError, match="character device"):
        load_model("/dev/zero")


def test_link_loop(tmp_path):
    (tmp_path / "model.onnx").symlink_to("model.onnx")
    with pytest.raises(InvalidModelError, match="cannot be read"):
        load_model(tmp_path / "model.onnx")


def test_link_to_a_model_is_followed(save, two_convs, tmp_path):
    save(two_convs, "real.onnx")
    (tmp_path / "link.onnx").symlink_to("real.onnx")
    assert load_model(tmp_path / "link.onnx").proto.graph.name == "two_convs"


def test_message_is_one_line_with_the_escaped_path(tmp_path):
    path = tmp_path / "evil\x1b[2J\n.onnx"
    path.write_bytes(b"")
    with pytest.raises(InvalidModelError) as caught:
        load_model(path)
    assert str(caught.value).isprintable()

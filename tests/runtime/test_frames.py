"""Frames survive the stream, and a stream that ends early is noticed."""

from __future__ import annotations

import io

import numpy as np
import pytest

from onnxprune.runtime import frames
from onnxprune.runtime.frames import FrameKind


def _written(*values):
    stream = io.BytesIO()
    for value in values:
        frames.write(stream, frames.encode(FrameKind.RESULT, value))
    return stream.getvalue()


def test_frames_follow_each_other():
    stream = io.BytesIO(_written(1, {"a": np.arange(5)}, None))
    assert frames.read(stream).value() == 1
    np.testing.assert_array_equal(frames.read(stream).value()["a"], np.arange(5))
    frame = frames.read(stream)
    assert (frame.kind, frame.value()) == (FrameKind.RESULT, None)
    assert frames.read(stream) is None


def test_arrays_are_not_copied_into_the_pickle():
    array = np.zeros(1 << 20)
    chunks = frames.encode(FrameKind.RESULT, array)
    assert max(memoryview(chunk).nbytes for chunk in chunks) == array.nbytes
    assert any(np.shares_memory(np.frombuffer(chunk, np.uint8), array) for chunk in chunks)


@pytest.mark.parametrize("kept", [1, 5, 20, -1])
def test_truncated(kept):
    data = _written({"a": np.arange(5)})
    with pytest.raises(EOFError, match="before the end of a frame"):
        frames.read(io.BytesIO(data[:kept]))


def test_noise_before_the_marker_is_skipped():
    stream = io.BytesIO()
    stream.write(b"banner \x89onnx")
    frames.write_marker(stream)
    stream.write(_written("value"))
    stream.seek(0)
    frames.skip_to_marker(stream)
    assert frames.read(stream).value() == "value"


def test_no_marker():
    with pytest.raises(EOFError, match="before the first frame"):
        frames.skip_to_marker(io.BytesIO(b"banner"))


@pytest.mark.parametrize("data", [b"\x09\x01\x00\x00\x00", b"\x03\x00\x00\x00\x00", b"hello"])
def test_something_else_between_frames(data):
    with pytest.raises(EOFError, match="something else"):
        frames.read(io.BytesIO(data))

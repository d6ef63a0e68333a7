"""Writing: the same model comes back, files appear whole or not at all, inputs stay as they are."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
import time

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.errors import InternalError, InvalidConfigError, InvalidModelError
from onnxprune.io import load_model, outfile, write_model
from onnxprune.io import write as write_module


@pytest.fixture
def loaded(save, two_convs):
    return load_model(save(two_convs))


def names(directory):
    return sorted(path.name for path in directory.iterdir())


def test_round_trip(loaded, two_convs, tmp_path):
    written = write_model(loaded.proto, tmp_path / "out.onnx", source=loaded)
    assert onnx.load(written.path) == two_convs
    assert written.data_path is None
    again = load_model(written.path)
    assert (written.sha256, written.size_bytes) == (again.sha256, again.size_bytes)
    assert names(tmp_path) == ["model.onnx", "out.onnx"]


def test_same_bytes_every_time(loaded, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        write_model(loaded.proto, tmp_path / name, source=loaded)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_proto_is_left_alone(loaded, tmp_path):
    before = loaded.proto.SerializeToString(deterministic=True)
    new = np.zeros((3, 1, 3, 3), np.float32)
    write_model(loaded.proto, tmp_path / "out.onnx", source=loaded, arrays={"w1": new})
    assert loaded.proto.SerializeToString(deterministic=True) == before


def test_every_field_and_place_survives(save, two_convs, tmp_path):
    values = np.arange(1000)
    attribute = two_convs.graph.node.add(op_type="Constant", output=["c"]).attribute.add()
    attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    attribute.t.CopyFrom(helper.make_tensor("", TensorProto.FLOAT, [1000], values))
    for data_type in (TensorProto.DOUBLE, TensorProto.COMPLEX64, TensorProto.FLOAT16):
        name = f"typed{data_type}"
        two_convs.graph.initializer.append(helper.make_tensor(name, data_type, [1000], values))
    for initializer in two_convs.graph.initializer[:2]:
        initializer.data_location = TensorProto.DEFAULT
    two_convs.graph.sparse_initializer.add(dims=[5000]).CopyFrom(
        onnx.SparseTensorProto(
            values=numpy_helper.from_array(values.astype(np.float32), "sparse"),
            indices=numpy_helper.from_array(values),
            dims=[5000],
        )
    )
    two_convs.graph.quantization_annotation.add(tensor_name="x")
    two_convs.metadata_props.add(key="author", value="somebody")
    two_convs.doc_string = "text"
    function = helper.make_function(
        "f", "F", [], ["c"], [two_convs.graph.node[-1]], [helper.make_opsetid("", 17)]
    )
    two_convs.functions.append(function)
    model = load_model(save(two_convs))
    write_model(model.proto, tmp_path / "out.onnx", source=model)
    assert onnx.load(tmp_path / "out.onnx") == two_convs


@pytest.mark.parametrize("external", [True, False, None])
@pytest.mark.parametrize("source_external", [True, False])
def test_layouts(two_convs, tmp_path, external, source_external):
    path = tmp_path / "model.onnx"
    onnx.save(two_convs, path, save_as_external_data=source_external, location="weights.bin")
    two_convs = onnx.load(path)
    source = load_model(path)
    written = write_model(source.proto, tmp_path / "out.onnx", source=source, external=external)
    wanted = source_external if external is None else external
    assert (written.data_path is not None) == wanted
    assert (tmp_path / "out.onnx.data").exists() == wanted
    again = load_model(written.path)
    assert again.external == wanted
    assert (written.sha256, written.size_bytes) == (again.sha256, again.size_bytes)
    for new, old in zip(again.proto.graph.initializer, two_convs.graph.initializer, strict=True):
        np.testing.assert_array_equal(again.array(new), numpy_helper.to_array(old))
    onnx.checker.check_model(str(written.path))


def test_each_tensor_stays_on_its_side(save, two_convs, tmp_path):
    onnx.save(two_convs, tmp_path / "model.onnx", save_as_external_data=True, location="w.bin")
    mixed = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    mixed.graph.initializer[2].CopyFrom(two_convs.graph.initializer[2])
    source = load_model(save(mixed))
    write_model(source.proto, tmp_path / "out.onnx", source=source)
    again = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    locations = [tensor.data_location for tensor in again.graph.initializer]
    assert locations == [tensor.data_location for tensor in mixed.graph.initializer]


def test_shared_external_bytes_stay_shared(external_model, tmp_path):
    proto = onnx.load(external_model, load_external_data=False)
    for index in range(5):
        twin = proto.graph.initializer.add()
        twin.CopyFrom(proto.graph.initializer[0])
        twin.name = f"twin{index}"
    external_model.write_bytes(proto.SerializeToString())
    source = load_model(external_model)
    written = write_model(source.proto, tmp_path / "out.onnx", source=source)
    assert written.data_path is not None
    assert written.data_path.stat().st_size < 2 * (1152 + 2304)
    assert load_model(written.path).proto.graph.initializer[-1].name == "twin4"


def test_ranges_that_look_alike_are_kept_apart(external_model, tmp_path):
    data = np.arange(32, dtype=np.uint8)
    (tmp_path / "weights.bin").write_bytes(bytes(4096) + data.tobytes())
    proto = onnx.load(external_model, load_external_data=False)
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.append(helper.make_node("Relu", ["x"], ["y"]))
    for name, offset, length in (("a", 8, 16), ("b", 16, 8), ("c", 16, None), ("d", 4100, 8)):
        size = length or 12
        tensor = proto.graph.initializer.add(name=name, dims=[size], data_type=TensorProto.UINT8)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="weights.bin")
        tensor.external_data.add(key="offset", value=str(offset))
        if length:
            tensor.external_data.add(key="length", value=str(length))
    external_model.write_bytes(proto.SerializeToString())
    source = load_model(external_model)
    write_model(source.proto, tmp_path / "out.onnx", source=source)
    again = load_model(tmp_path / "out.onnx")
    for new, old in zip(again.proto.graph.initializer, source.proto.graph.initializer, strict=True):
        np.testing.assert_array_equal(again.array(new), source.array(old))


def test_model_too_large_for_one_file_is_split(loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(write_module, "_MAX_MESSAGE", 2500)
    written = write_model(loaded.proto, tmp_path / "out.onnx", source=loaded)
    assert written.data_path is not None
    with pytest.raises(InvalidModelError, match="at most 2500"):
        write_model(loaded.proto, tmp_path / "one.onnx", source=loaded, external=False)
    assert not (tmp_path / "one.onnx").exists()


# New values


DTYPES = ["f4", "f2", "i8", "?", ">f4", "c8", ml_dtypes.bfloat16, ml_dtypes.int4]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("external", [False, True])
def test_new_values(save, two_convs, *, dtype, late, external):
    old = numpy_helper.from_array(np.zeros((41, 51)).astype(np.dtype(dtype).newbyteorder("=")), "t")
    two_convs.graph.initializer.append(old)
    source = load_model(save(two_convs))
    new = np.arange(40 * 50).reshape(40, 50).astype(dtype)
    proto = onnx.ModelProto()
    proto.CopyFrom(source.proto)
    if late:
        proto.graph.initializer[-1].dims[:] = new.shape
    arrays = {"t": (lambda: new) if late else new}
    path = source.path.with_name("out.onnx")
    write_model(proto, path, source=source, arrays=arrays, external=external)
    again = load_model(path)
    found = again.array(again.proto.graph.initializer[-1])
    np.testing.assert_array_equal(found.astype("c16"), new.astype("c16"))
    onnx.checker.check_model(str(path))


def test_new_strings(save, two_convs, tmp_path):
    old = helper.make_tensor("t", TensorProto.STRING, [2], [b"a", b"b"])
    two_convs.graph.initializer.append(old)
    source = load_model(save(two_convs))
    new = np.array([["ü"]], dtype=object)
    write_model(source.proto, tmp_path / "out.onnx", source=source, arrays={"t": new})
    again = load_model(tmp_path / "out.onnx")
    assert again.array(again.proto.graph.initializer[-1]).tolist() == [["ü"]]


@pytest.mark.parametrize(
    "arrays",
    [
        {"unknown": np.zeros(1, np.float32)},
        {"w1": np.zeros((32, 1, 3, 3), np.float64)},
        {"w1": lambda: np.zeros((1, 1, 3, 3), np.float32)},
        {"w1": lambda: np.zeros((32, 1, 3, 3), np.float16)},
    ],
    ids=["name", "type", "late dims", "late type"],
)
def test_new_values_that_do_not_fit(loaded, tmp_path, arrays):
    with pytest.raises(InternalError):
        write_model(loaded.proto, tmp_path / "out.onnx", source=loaded, arrays=arrays)
    assert names(tmp_path) == ["model.onnx"]


def test_new_dims_without_new_values(loaded, tmp_path):
    proto = onnx.ModelProto()
    proto.CopyFrom(loaded.proto)
    proto.graph.initializer[0].dims[0] = 31
    with pytest.raises(InternalError, match="no new values"):
        write_model(proto, tmp_path / "out.onnx", source=loaded)


def test_values_put_into_the_message_go_where_the_others_are(external_model, tmp_path):
    source = load_model(external_model)
    proto = onnx.ModelProto()
    proto.CopyFrom(source.proto)
    new = np.ones((32, 1, 3, 3), np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(new, "w1"))
    write_model(proto, tmp_path / "out.onnx", source=source)
    again = onnx.load(tmp_path / "out.onnx", load_external_data=False)
    assert again.graph.initializer[0].data_location == TensorProto.EXTERNAL
    model = load_model(tmp_path / "out.onnx")
    np.testing.assert_array_equal(model.array(model.proto.graph.initializer[0]), new)


# Destinations


def test_existing_file_is_replaced(loaded, tmp_path):
    path = tmp_path / "out.onnx"
    path.write_bytes(b"old")
    other = tmp_path / "other"
    other.hardlink_to(path)
    write_model(loaded.proto, path, source=loaded)
    assert load_model(path).proto.graph.name == "two_convs"
    assert other.read_bytes() == b"old"


DESTINATIONS = {
    "the input": ("model.onnx", "never changed"),
    "the input by another way": ("sub/../model.onnx", "never changed"),
    "a hard link to the input": ("hard.onnx", "never changed"),
    "its data file": ("weights.bin", "never changed"),
    "a link to the input": ("link.onnx", "symbolic link"),
    "a dangling link": ("dangling.onnx", "symbolic link"),
    "a directory": ("sub", "not a regular file"),
    "a fifo": ("fifo", "not a regular file"),
    "no directory": ("absent/out.onnx", "not a directory"),
    "below a file": ("model.onnx/out.onnx", "cannot be written"),
    "too long": ("x" * 300, "cannot be written"),
    "nul": ("a\0b", "cannot be written"),
    "data file is a link": ("evil.onnx", "symbolic link"),
    "data file is the input's": ("bait.onnx", "never changed"),
    "data file with a backslash": ("a\\b.onnx", "plainer name"),
}


@pytest.mark.parametrize(("name", "said"), DESTINATIONS.values(), ids=DESTINATIONS)
def test_destinations_refused(two_convs, tmp_path, name, said):
    onnx.save(
        two_convs, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin"
    )
    if name == "bait.onnx":
        (tmp_path / "weights.bin").rename(tmp_path / "bait.onnx.data")
        proto = onnx.load(tmp_path / "model.onnx", load_external_data=False)
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = "bait.onnx.data"
        (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    (tmp_path / "sub").mkdir()
    (tmp_path / "hard.onnx").hardlink_to(tmp_path / "model.onnx")
    (tmp_path / "link.onnx").symlink_to("model.onnx")
    (tmp_path / "dangling.onnx").symlink_to("nowhere")
    (tmp_path / "evil.onnx.data").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")
    source = load_model(tmp_path / "model.onnx")
    before = {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()}
    with pytest.raises(InvalidConfigError, match=said) as caught:
        write_model(source.proto, tmp_path / name, source=source)
    assert str(caught.value).isprintable()
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize("path", ["", ".", "/", "..", "/dev/null", "/dev/full"])
def test_paths_that_are_no_files(loaded, path):
    with pytest.raises(InvalidConfigError):
        write_model(loaded.proto, path, source=loaded)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_directory_without_permission(loaded, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InvalidConfigError, match="Permission denied"):
        write_model(loaded.proto, tmp_path / "locked" / "out.onnx", source=loaded)


# Failures half-way


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """Write without a name as far as the system can, and with a temporary one."""
    if request.param == "named":
        monkeypatch.setattr(outfile, "_NAMELESS", 0)
    elif not outfile._NAMELESS:
        pytest.skip("needs files without a name")
    return request.param


@pytest.mark.parametrize("external", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, SystemExit, RuntimeError])
@pytest.mark.usefixtures("way")
def test_nothing_is_left_of_a_failure(loaded, tmp_path, error, external):
    def fail():
        raise error

    old = tmp_path / "out.onnx"
    old.write_bytes(b"old")
    with pytest.raises(error):
        write_model(loaded.proto, old, source=loaded, arrays={"w2": fail}, external=external)
    assert names(tmp_path) == ["model.onnx", "out.onnx"]
    assert old.read_bytes() == b"old"


@pytest.mark.usefixtures("way")
def test_full_disk(loaded, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # The nearest thing to a full disk that needs no other disk.
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
        with pytest.raises(InvalidConfigError, match="File too large"):
            write_model(loaded.proto, tmp_path / "out.onnx", source=loaded)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(tmp_path) == ["model.onnx"]


@pytest.mark.usefixtures("way")
def test_data_file_goes_when_the_model_file_fails(loaded, tmp_path, monkeypatch):
    publish = outfile._PendingFile.publish

    def fail_for_model(self):
        if self._path.suffix == ".onnx":
            raise OSError(28, "No space left on device")
        publish(self)

    monkeypatch.setattr(outfile._PendingFile, "publish", fail_for_model)
    with pytest.raises(InvalidConfigError, match="No space left"):
        write_model(loaded.proto, tmp_path / "out.onnx", source=loaded, external=True)
    assert names(tmp_path) == ["model.onnx"]


KILLS = {
    "terminate": (signal.SIGTERM, True),
    "terminate, named": (signal.SIGTERM, False),
    "interrupt, named": (signal.SIGINT, False),
    "hang up, named": (signal.SIGHUP, False),
    "kill": (signal.SIGKILL, True),
}


@pytest.mark.parametrize(("kill", "nameless"), KILLS.values(), ids=KILLS)
def test_nothing_is_left_of_a_kill(loaded, tmp_path, kill, nameless):
    if nameless and not outfile._NAMELESS:
        pytest.skip("needs files without a name")
    script = textwrap.dedent("""
        import sys, time
        from onnxprune.io import load_model, outfile, write_model
        if sys.argv[3] == "named":
            outfile._NAMELESS = 0
        def stall():
            print("writing", flush=True)
            time.sleep(60)
        model = load_model(sys.argv[1])
        write_model(model.proto, sys.argv[2], source=model, arrays={"w2": stall})
    """)
    argv = [str(loaded.path), str(tmp_path / "out.onnx"), "nameless" if nameless else "named"]
    with subprocess.Popen(
        [sys.executable, "-c", script, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        process.send_signal(kill)
        start = time.monotonic()
        process.communicate(timeout=30)
        assert time.monotonic() - start < 20
    assert process.returncode != 0
    assert names(tmp_path) == ["model.onnx"]


def test_signal_handlers_are_put_back(loaded, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    write_model(loaded.proto, tmp_path / "out.onnx", source=loaded)
    assert signal.getsignal(signal.SIGTERM) is before

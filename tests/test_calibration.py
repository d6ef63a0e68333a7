"""Calibration data becomes feeds as the model takes them, or one error says what is wrong."""

from __future__ import annotations

import io
import sys
import types
import zipfile

import ml_dtypes
import numpy as np
import pytest

from onnxprune.calibration import (
    SYNTHETIC_WARNING,
    Entry,
    collect_samples,
    feed_dims,
    load_calibration,
    synthetic_calibration,
)
from onnxprune.demo import CALIBRATION
from onnxprune.errors import InvalidConfigError
from onnxprune.runtime.feeds import FeedRecipe
from onnxprune.runtime.inputs import InputSpec


def _spec(*dims, name="x", dtype=np.float32, container="tensor"):
    return InputSpec(name, np.dtype(dtype), dims, container)


IMAGE = _spec("N", 3, 4, 4)
IDS = _spec("n", "s", name="ids", dtype=np.int64)
MASK = _spec("n", "s", name="mask", dtype=np.int64)


def _save(tmp_path, name="data.npz", **arrays):
    np.savez(tmp_path / name, **arrays)
    return tmp_path / name


def _random(*shape):
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("dims", "shape", "count", "sample"),
    [
        (("N", 3, 4, 4), (5, 3, 4, 4), 5, (1, 3, 4, 4)),
        (("N", 3, 4, 4), (5, 2, 3, 4, 4), 5, (2, 3, 4, 4)),
        (("N", 3, 4, 4), (3, 4, 4), 1, (1, 3, 4, 4)),
        (("N", 3, "h", "w"), (2, 3, 9, 7), 2, (1, 3, 9, 7)),
        ((1, 3, 4, 4), (5, 3, 4, 4), 5, (1, 3, 4, 4)),
        ((1, 3, 4, 4), (3, 4, 4), 1, (1, 3, 4, 4)),
        ((2, 3, 4, 4), (6, 3, 4, 4), 3, (2, 3, 4, 4)),
        ((2, 3, 4, 4), (6, 2, 3, 4, 4), 6, (2, 3, 4, 4)),
        (("sequence_length", 8), (6, 8), 1, (6, 8)),
        (("sequence_length", 8), (5, 6, 8), 5, (6, 8)),
        (("samples",), (900,), 1, (900,)),
        (("samples",), (4, 900), 4, (900,)),
        (("N",), (7,), 7, (1,)),
        ((), (), 1, ()),
        ((), (4,), 4, ()),
    ],
)
@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_layouts(tmp_path, dims, shape, count, sample, suffix):
    array = _random(*shape) if shape else np.asarray(np.float32(2))
    path = tmp_path / f"data.{suffix}"
    np.save(path, array) if suffix == "npy" else np.savez(path, x=array)
    feeds = load_calibration(path, [_spec(*dims)])
    assert len(feeds) == count
    assert {feed["x"].shape for feed in feeds} == {sample}
    np.testing.assert_array_equal(np.concatenate([f["x"].ravel() for f in feeds]), array.ravel())


def test_unknown_rank_takes_rows(tmp_path):
    feeds = load_calibration(
        _save(tmp_path, x=_random(3, 2)), [InputSpec("x", np.dtype(np.float32), None)]
    )
    assert [feed["x"].shape for feed in feeds] == [(1, 2)] * 3


def test_one_array_of_any_name_serves_a_single_input(tmp_path):
    assert len(load_calibration(_save(tmp_path, arr_0=_random(2, 3, 4, 4)), [IMAGE])) == 2


def test_several_inputs_and_integers(tmp_path):
    ids = np.arange(12, dtype=np.int32).reshape(3, 4)
    feeds = load_calibration(_save(tmp_path, ids=ids, mask=np.ones_like(ids)), [IDS, MASK])
    assert [feed["ids"].tolist() for feed in feeds] == [[row] for row in ids.tolist()]
    assert feeds[0]["ids"].dtype == np.int64
    assert list(feeds[0]) == ["ids", "mask"]


def test_a_state_and_a_setting_serve_all_samples(tmp_path):
    specs = [
        _spec("n", 8),
        _spec(2, "n", 3, name="state"),
        _spec(name="rate", dtype=np.int64),
    ]
    path = _save(tmp_path, x=_random(5, 8), state=np.zeros((2, 1, 3)), rate=np.array(16000))
    feeds = load_calibration(path, specs)
    assert len(feeds) == 5
    assert {feed["state"].shape for feed in feeds} == {(2, 1, 3)}
    assert {feed["rate"].item() for feed in feeds} == {16000}


def test_directory_of_different_sizes_in_order_of_names(tmp_path):
    for name, width in (("b.npz", 7), ("a.npy", 5), ("c.npy", 9)):
        array = np.full((2, 3, 4, width), width, np.float32)
        if name.endswith("npy"):
            np.save(tmp_path / name, array)
        else:
            _save(tmp_path, name, x=array)
    (tmp_path / "notes.txt").write_text("not an array")
    feeds = load_calibration(tmp_path, [_spec("N", 3, "h", "w")])
    assert [feed["x"].shape[3] for feed in feeds] == [5, 5, 7, 7, 9, 9]


def test_fewer_samples_are_drawn_by_the_seed_and_keep_their_order(tmp_path):
    path = _save(tmp_path, x=np.arange(100, dtype=np.float32).reshape(100, 1))
    spec = _spec("N", 1)

    def draw(samples, seed):
        return [
            int(f["x"].item()) for f in load_calibration(path, [spec], samples=samples, seed=seed)
        ]

    assert draw(10, 1) == draw(10, 1) == sorted(draw(10, 1))
    assert draw(10, 1) != draw(10, 2)
    assert draw(500, 0) == list(range(100))


def test_samples_own_their_memory(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, _random(50, 3, 4, 4))
    [feed] = load_calibration(path, [IMAGE], samples=1)
    assert feed["x"].flags.owndata
    assert feed["x"].flags.writeable


@pytest.mark.parametrize(
    ("seen", "wanted"),
    [
        (np.float64, np.float32),
        (np.float32, np.float16),
        (">f4", np.float32),
        (np.float32, ml_dtypes.bfloat16),
        (ml_dtypes.bfloat16, ml_dtypes.bfloat16),
        (np.int64, np.uint8),
        (np.int8, ml_dtypes.int4),
        (np.bool_, np.bool_),
        (np.complex128, np.complex64),
        ("U4", np.object_),
        ("S4", np.object_),
    ],
)
def test_conversions_within_a_kind(tmp_path, seen, wanted):
    array = np.array([[1], [0], [1]]).astype(seen)
    feeds = load_calibration(_save(tmp_path, x=array), [_spec("N", 1, dtype=wanted)])
    assert [feed["x"].dtype for feed in feeds] == [np.dtype(wanted)] * 3
    if np.dtype(wanted).kind == "O":
        assert [feed["x"].item() for feed in feeds] == ["1", "0", "1"]
    else:
        assert [feed["x"].item() for feed in feeds] == [1, 0, 1]


def test_optional_inputs_may_be_missing(tmp_path):
    optional = _spec("N", 2, name="y", container="optional")
    [feed] = load_calibration(_save(tmp_path, x=_random(1, 3, 4, 4)), [IMAGE, optional])
    assert feed["y"] is None
    both = _save(tmp_path, x=_random(1, 3, 4, 4), y=_random(1, 2))
    assert load_calibration(both, [IMAGE, optional])[0]["y"].shape == (1, 2)


def test_minus_infinity_is_for_masks(tmp_path):
    array = np.full((1, 3, 4, 4), -np.inf, np.float32)
    assert len(load_calibration(_save(tmp_path, x=array), [IMAGE])) == 1


def _with(value, place=(1, 2, 3, 0)):
    array = _random(2, 3, 4, 4)
    array[place] = value
    return array


@pytest.mark.parametrize(
    ("arrays", "specs", "told"),
    [
        (
            {"y": _random(2, 2), "z": _random(2, 2)},
            [IMAGE],
            ["'y', 'z'", "'x' float32 [N, 3, 4, 4]"],
        ),
        ({"ids": np.ones((2, 2), int)}, [IDS, MASK], ["'ids'", "'mask' int64 [n, s]"]),
        ({}, [IMAGE], ["seen arrays none"]),
        ({"x": _random(2, 3, 4, 5)}, [IMAGE], ["'x'", "[2, 3, 4, 5]", "[N, 3, 4, 4]"]),
        ({"x": _random(0, 3, 4, 4)}, [IMAGE], ["[0, 3, 4, 4]"]),
        ({"x": _random(5, 3)}, [_spec(2, 3)], ["[5, 3]", "[2, 3]", "2 rows"]),
        ({"x": np.ones((2, 3, 4, 4), np.uint8)}, [IMAGE], ["seen uint8", "float32", "scale"]),
        ({"x": np.ones((2, 2))}, [_spec("n", "s", dtype=np.int64)], ["float64", "int64"]),
        ({"x": _with(np.nan)}, [IMAGE], ["sample 1", "'x'", "nan at [0, 2, 3, 0]", "finite"]),
        ({"x": _with(np.inf)}, [IMAGE], ["inf at", "1 such"]),
        ({"x": np.full((1, 1), 1e30)}, [_spec("N", 1, dtype=np.float16)], ["1e+30", "float16"]),
        ({"x": np.full((1, 1), 300)}, [_spec("N", 1, dtype=np.uint8)], ["300", "uint8"]),
        (
            {"ids": np.ones((2, 4), int), "mask": np.ones((3, 4), int)},
            [IDS, MASK],
            ["different numbers", "'ids' 2, 'mask' 3"],
        ),
        (
            {"ids": np.ones((2, 4), int), "mask": np.ones((2, 5), int)},
            [IDS, MASK],
            ["'s' is 4 in input 'ids' and 5 in input 'mask'"],
        ),
        ({"x": _random(2, 3)}, [_spec("N", 3, container="sequence")], ["sequence of", "function"]),
    ],
)
def test_wrong_data_is_one_clear_error(tmp_path, arrays, specs, told):
    with pytest.raises(InvalidConfigError) as caught:
        load_calibration(_save(tmp_path, **arrays), specs)
    assert "data.npz" in str(caught.value)
    for text in told:
        assert text in str(caught.value)


def _objects():
    stream = io.BytesIO()
    np.save(stream, np.array([{}, []], object), allow_pickle=True)
    return stream.getvalue()


def _truncated():
    stream = io.BytesIO()
    np.save(stream, _random(2, 3, 4, 4))
    return stream.getvalue()[:-10]


def _records():
    stream = io.BytesIO()
    np.save(stream, np.zeros(2, [("a", "f4")]))
    return stream.getvalue()


def _archive(content):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", content)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", _objects(), _truncated(), _records(), b"\x93NUMPY\x03\x00"],
    ids=["empty", "text", "objects", "truncated", "records", "version"],
)
@pytest.mark.parametrize("archived", [False, True])
def test_damaged_files(tmp_path, content, archived):
    path = tmp_path / ("data.npz" if archived else "data.npy")
    path.write_bytes(_archive(content) if archived else content)
    with pytest.raises(InvalidConfigError, match=r"data\.np[yz]' cannot be read"):
        load_calibration(path, [IMAGE])


def test_archive_that_is_none(tmp_path):
    (tmp_path / "data.npz").write_bytes(b"PK but no")
    with pytest.raises(InvalidConfigError, match="cannot be read as an archive"):
        load_calibration(tmp_path / "data.npz", [IMAGE])


@pytest.mark.parametrize(
    ("name", "told"), [("missing.npz", "does not exist"), ("a.pt", "is neither"), (".", "holds no")]
)
def test_paths(tmp_path, name, told):
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(InvalidConfigError, match=told):
        load_calibration(tmp_path / name, [IMAGE])


def test_number_of_samples(tmp_path):
    with pytest.raises(InvalidConfigError, match="number from 1"):
        load_calibration(_save(tmp_path, x=_random(1, 3, 4, 4)), [IMAGE], samples=0)


@pytest.fixture
def code(monkeypatch):
    module = types.ModuleType("calibration_code")
    monkeypatch.setitem(sys.modules, "calibration_code", module)

    def install(function):
        module.feeds = function
        return "calibration_code:feeds"

    return install


def _collect(source, specs, samples=8):
    return collect_samples(
        source, specs, recipe=lambda: FeedRecipe(specs, {"N": 1}), samples=samples
    )


def test_code_is_never_run_for_a_path(code):
    with pytest.raises(InvalidConfigError, match="does not exist"):
        _collect(code(_fail), [IMAGE])


def test_python_code_may_go_on_for_ever(code):
    def endless():
        while True:
            yield {"x": _random(2, 3, 4, 4).astype(np.float64)}

    for source in (Entry(code(endless)), endless):
        found = _collect(source, [IMAGE], samples=16)
        assert (len(found.fit), len(found.held)) == (16, 3)  # batches are taken apart
        assert {feed["x"].shape for feed in found.fit} == {(1, 3, 4, 4)}
        assert found.fit[0]["x"].dtype == np.float32


def test_python_code_may_give_sequences(code):
    entry = Entry(code(lambda: [{"x": [_random(2, 3), _random(5, 3)]}]))
    [feed] = _collect(entry, [_spec("N", 3, container="sequence")]).fit
    assert [part.shape for part in feed["x"]] == [(2, 3), (5, 3)]


def _fail():
    message = "no disk"
    raise RuntimeError(message)


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (_fail, "failed: RuntimeError: no disk"),
        (list, "yielded no feed"),
        (lambda: [[1]], "feed 0: seen a list, wanted a mapping"),
        (lambda: [{"y": 1}], "seen arrays 'y'"),
        (lambda: [{"x": _random(3, 4, 4)}], r"seen float32 \[3, 4, 4\]"),
        (lambda: [{"x": [[1.0], [1.0, 2.0]]}], "seen object"),
        (lambda: [{"x": _with(np.nan)}], "nan at"),
        (lambda: 3, "failed: TypeError"),
    ],
)
def test_python_code_that_is_wrong(code, function, told):
    with pytest.raises(InvalidConfigError, match=told):
        _collect(Entry(code(function)), [IMAGE])


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("no_such_module:feeds", "failed: ModuleNotFoundError"),
        ("os.system('x')", "module:function"),
    ],
)
def test_names_of_no_function(entry, told):
    with pytest.raises(InvalidConfigError, match=told):
        _collect(Entry(entry), [IMAGE])


def test_code_is_found_in_the_working_directory_and_keeps_off_stdout(tmp_path, monkeypatch, capsys):
    (tmp_path / "own_feeds.py").write_text(
        "import numpy as np\nprint('hello')\n"
        "def feeds():\n    yield {'x': np.ones((1, 3, 4, 4), np.float32)}\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "own_feeds", raising=False)
    before = list(sys.path)
    assert len(_collect(Entry("own_feeds:feeds"), [IMAGE]).fit) == 1
    assert capsys.readouterr().out == ""
    assert sys.path == before


@pytest.mark.parametrize(
    ("given", "fit", "held"), [
        (1, 1, 0), (9, 9, 0), (10, 8, 2), (17, 14, 3), (40, 35, 5), (200, 64, 10),
    ],
)  # fmt: skip
def test_every_eighth_sample_is_held_back(tmp_path, given, fit, held):
    path = _save(tmp_path, x=np.arange(given, dtype=np.float32).reshape(given, 1))
    found = _collect(path, [_spec("N", 1)], samples=64)
    assert (len(found.fit), len(found.held)) == (fit, held)
    assert bool(found.notes) == (not held)
    numbers = [{float(f["x"].item()) for f in part} for part in (found.fit, found.held)]
    assert not numbers[0] & numbers[1]


def test_made_up_samples_only_when_asked_for():
    found = _collect("synthetic", [IMAGE], samples=16)
    assert (len(found.fit), len(found.held)) == (16, 3)
    assert found.notes == (SYNTHETIC_WARNING,)


def test_time_is_not_cut_into_samples(tmp_path):
    path = _save(tmp_path, x=_random(12, 6, 8))
    found = _collect(path, [_spec("sequence_length", 8)], samples=12)
    assert {feed["x"].shape for feed in found.fit} == {(6, 8)}


def test_synthetic_samples_differ_and_the_warning_names_the_way_out():
    first, second = synthetic_calibration(FeedRecipe([IMAGE], {"N": 1}), samples=2)
    assert first["x"].shape == (1, 3, 4, 4)
    assert not np.array_equal(first["x"], second["x"])
    assert "--calibration" in SYNTHETIC_WARNING


def test_dimensions_of_a_feed():
    assert feed_dims({"ids": np.ones((2, 7)), "other": None}, [IDS, MASK]) == {"n": 2, "s": 7}


def test_the_demo_data_fits_its_model():
    assert len(load_calibration(CALIBRATION, [_spec("N", 1, 8, 8, name="image")], samples=16)) == 16

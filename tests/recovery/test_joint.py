"""All operators refitted together, and the samples that are made for it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.allocation import Target
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.io import write_model
from onnxprune.planning.selection import Settings
from onnxprune.recovery import calibrated, effort
from onnxprune.recovery.effort import Effort
from onnxprune.recovery.exchange import exchanged
from onnxprune.recovery.unfold import Convolution, Product
from onnxprune.rewrite import rewrite
from onnxprune.runtime.session import open_session, run
from onnxprune.verification import verify_cut


@pytest.fixture
def network(tmp_path):
    """A residual stream with two blocks, normalised once, read by a classifier."""
    rng = np.random.default_rng(0)
    shapes = {
        "w0": (12, 3, 3, 3), "w1": (12, 12, 3, 3), "w2": (12, 12, 3, 3), "w3": (12, 12, 3, 3),
        "w4": (12, 12, 3, 3), "g": (5, 12), "gb": (5,), "b3": (12,),
    }  # fmt: skip
    arrays = {
        k: (rng.normal(size=s) * np.sqrt(1.5 / max(1, np.prod(s[1:])))).astype(np.float32)
        for k, s in shapes.items()
    }
    arrays |= {k: rng.uniform(0.5, 1.5, 12).astype(np.float32) for k in ("bs", "bb", "bm", "bv")}
    pad = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["s0"], **pad),
        helper.make_node("Conv", ["s0", "w1"], ["a"], **pad),
        helper.make_node("BatchNormalization", ["a", "bs", "bb", "bm", "bv"], ["an"]),
        helper.make_node("Relu", ["an"], ["ar"]),
        helper.make_node("Conv", ["ar", "w2"], ["b"], **pad),
        helper.make_node("Add", ["s0", "b"], ["s1"]),
        helper.make_node("Relu", ["s1"], ["s1r"]),
        helper.make_node("Conv", ["s1r", "w3", "b3"], ["c"], **pad),
        helper.make_node("Sigmoid", ["c"], ["cs"]),
        helper.make_node("Mul", ["c", "cs"], ["cr"]),
        helper.make_node("Conv", ["cr", "w4"], ["d"], **pad),
        helper.make_node("Add", ["s1r", "d"], ["s2"]),
        helper.make_node("GlobalAveragePool", ["s2"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "g", "gb"], ["y"], transB=1),
    ]
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(a, k) for k, a in arrays.items()],
    )  # fmt: skip
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    return path


def samples(count: int, seed: int = 0) -> np.ndarray:
    """Return images made of a few patterns, each with a mean of its own."""
    patterns = np.random.default_rng(9).normal(size=(24, 3, 8, 8))
    patterns = patterns + np.random.default_rng(8).normal(size=(24, 3, 1, 1))
    shares = np.random.default_rng(seed).normal(size=(count, 24)) / 4
    return np.tensordot(shares, patterns, 1).astype(np.float32)


def pruned(
    path, monkeypatch, *, rounds: int, recovery: str = "least-squares", coupling="constrained"
):
    monkeypatch.setattr(effort, "_MOST", rounds)
    analysis = analyze_model(path)
    if coupling == "unconstrained":
        analysis = expand(analysis)
    settings = Settings(Target("ratio", 0.5), criterion="obs", allocation="uniform")
    feeds = [{"x": x[None]} for x in samples(160)]
    done = calibrated.Calibration(analysis, settings, feeds, recovery).run()
    full = calibrated.repaired_analysis(analysis, done)
    removed = full.removed_labels(done.plan)
    rewritten = rewrite(full.proto, full.model.array, full.deps, removed, copies=full.copies)
    output = path.with_name(f"small-{rounds}.onnx")
    write_model(rewritten.proto, output, source=full.model, arrays=rewritten.arrays)
    assert verify_cut(full, removed, output).exact
    return done, output


def error(path, output) -> float:
    x = samples(200, seed=5)
    a, b = (run(open_session(p, optimize=True), {"x": x})[0] for p in (path, output))
    return float(np.square(a - b).mean() / a.var())


@pytest.mark.parametrize("coupling", ["constrained", "unconstrained"])
def test_joint_steps_lower_the_error_on_other_samples_and_keep_the_plan(
    network, monkeypatch, coupling
):
    alone, first = pruned(network, monkeypatch, rounds=0, coupling=coupling)
    together, second = pruned(network, monkeypatch, rounds=20, coupling=coupling)
    assert alone.plan.groups == together.plan.groups
    assert error(network, second) < 0.9 * error(network, first)


def test_joint_steps_are_repeatable(network, monkeypatch):
    a, b = (pruned(network, monkeypatch, rounds=5)[0] for _ in range(2))
    assert a.weights.keys() == b.weights.keys()
    assert all((a.weights[k] == b.weights[k]).all() for k in a.weights)
    assert all((a.biases[k] == b.biases[k]).all() for k in a.biases)


def test_other_recoveries_stay_what_they_say(network, monkeypatch):
    with_steps, _ = pruned(network, monkeypatch, rounds=20, recovery="bias")
    without, _ = pruned(network, monkeypatch, rounds=0, recovery="bias")
    assert all((with_steps.weights[k] == without.weights[k]).all() for k in without.weights)


# ---- samples made of others --------------------------------------------------------------------


def test_tokens_are_exchanged_at_their_place_where_masks_agree():
    a = {"ids": np.arange(40)[None], "mask": np.ones((1, 40), np.int64)}
    b = {"ids": 100 + np.arange(30)[None], "mask": np.ones((1, 30), np.int64)}
    b["mask"][0, 20:] = 0
    made = exchanged([a, b], 3)
    assert len(made) == 6
    for new in made:
        longer = new["ids"].shape[1] == 40
        own = a if longer else b
        np.testing.assert_array_equal(new["mask"], own["mask"])
        places = np.flatnonzero(new["ids"][0] != own["ids"][0])
        assert 3 <= len(places) <= 17
        assert places.max() < 20
        assert (new["ids"][0, places] % 100 == places).all()


def test_blocks_of_images_are_exchanged_for_all_channels_alike():
    a, b = ({"x": np.full((1, 2, 16, 12), v, np.float32)} for v in (0.0, 1.0))
    made = exchanged([a, b], 4)
    assert len(made) == 8
    shares = set()
    for new in made:
        np.testing.assert_array_equal(new["x"][0, 0], new["x"][0, 1])
        share = float(new["x"].mean())
        shares.add(share)
        rows = new["x"][0, 0].any(axis=1).sum() * new["x"][0, 0].any(axis=0).sum()
        if share <= 0.5625:
            assert rows == new["x"][0, 0].sum()
    assert len(shares) > 4
    assert (a["x"] == 0).all()


@pytest.mark.parametrize(
    "feeds",
    [
        [{"x": np.zeros((1, 4, 4), np.float32)}],
        [{"x": np.zeros((1, 8), np.float32)}, {"x": np.ones((1, 8), np.float32)}],
        [{"p": np.arange(9)[None]}, {"p": np.arange(9)[None]}],
        [{"s": np.array(16000)}, {"s": np.array(8000)}],
        [{"x": [np.zeros(3)]}, {"x": None}],
    ],
)
def test_nothing_is_made_where_nothing_can_be_exchanged(feeds):
    assert exchanged(feeds, 3) == []


def test_samples_are_made_where_fits_need_them_and_steps_where_they_are_cheap():
    assert Effort(scarcity=25, elements=6e5, macs=3.3e8).copies(128) == 5
    assert Effort(scarcity=25, elements=6e5, macs=3.3e8).rounds(6 * 128) == 0
    assert Effort(scarcity=1, elements=1e5, macs=1e6).copies(128) == 0
    assert Effort(scarcity=1, elements=1e5, macs=1e6).rounds(128) == 20
    assert Effort(scarcity=500, elements=1e8, macs=1e9).copies(128) == 0
    nothing = Effort(scarcity=0, elements=0, macs=0)
    assert nothing.copies(8) == 0


@pytest.mark.parametrize("width", [8, 7, 12])
@pytest.mark.parametrize("wanted", [1, 7.5, 8, 24])
def test_thinned_rows_come_from_all_columns(width, wanted):
    rows = Convolution(1, (1, 1), (1, 1), (1, 1), ((0, 0), (0, 0)), spread=(1, 1))
    x = np.broadcast_to(np.arange(width, dtype=np.float32), (4, 1, width, width)).copy()
    step = rows.step(wanted, x, x)
    assert wanted - 1 < step < wanted + 10
    seen = np.concatenate([b[0].ravel() for b, _ in rows.blocks(x, x, step)])
    if len(seen) >= 4 * width:
        assert len(set(seen)) == width
    flat = x.reshape(4, width, width)
    product = Product(-1, -1)
    assert np.gcd(product.step(wanted, flat, flat), width) == 1

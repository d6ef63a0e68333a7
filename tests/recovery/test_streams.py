"""Channels that leave for all consumers at once compete with what each drops for itself."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import onnxprune
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.recovery.curves import group_curve, with_company
from onnxprune.recovery.dense import dense_moments
from onnxprune.recovery.sites import find_sites
from onnxprune.recovery.streams import shared_streams
from onnxprune.runtime.segment import Program
from onnxprune.runtime.stream import TwinStream
from onnxprune.testing.shared_channels import HIDDEN, WIDTH, Net, residual

if TYPE_CHECKING:
    from pathlib import Path


def samples(count: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(count)]


@pytest.fixture
def network(tmp_path: Path) -> Path:
    path = tmp_path / "net.onnx"
    onnx.save(residual(), path)
    return path


def test_streams_take_their_consumers_along(network: Path) -> None:
    analysis = expand(analyze_model(network))
    groups = [g for g in analysis.deps.groups if not g.follows]
    streams = shared_streams(analysis.deps, groups)
    assert len(streams) == 3
    assert [s.group.size for s in streams] == [WIDTH] * 3
    for outer, inner in itertools.pairwise(streams):
        assert np.isin(np.flatnonzero(inner.takes), np.flatnonzero(outer.takes)).all()
    for stream in streams:
        cut = analysis.deps.removed_labels(stream.group.atoms[:3])
        taken = np.isin(stream.takes, stream.group.atoms[:3])
        np.testing.assert_array_equal(cut, taken[analysis.deps.roots])
    readers = [g for g in groups if g.size == WIDTH]
    assert not shared_streams(analysis.deps, [g for g in groups if g not in readers])


@pytest.mark.parametrize("amount", [0.3, 0.6])
def test_a_target_is_met_on_what_the_walk_chose(network: Path, amount: float) -> None:
    plan = onnxprune.plan(
        network, remove_macs=amount, coupling="unconstrained", calibration=samples(32),
        recovery="none",
    )  # fmt: skip
    analysis = expand(analyze_model(network))
    left = analysis.cost(analysis.removed_labels(plan)).macs / analysis.cost().macs
    assert left <= 1 - amount + 1e-6
    assert all(g.size > len(g.removed) for g in plan.groups)


def test_parts_that_stand_in_for_each_other_are_not_both_free(tmp_path: Path) -> None:
    net = Net()
    first = net.conv("x", 3, WIDTH)
    twin = net.node("Conv", *(("x", *net.nodes[-1].input[1:])), pads=[1] * 4)
    for number in (1, 2):  # parameters of its own
        weight = next(w for w in net.weights if w.name == net.nodes[-1].input[number])
        copy = numpy_helper.from_array(numpy_helper.to_array(weight), f"twin{number}")
        net.weights.append(copy)
        net.nodes[-1].input[number] = copy.name
    joined = net.node("Concat", first, twin, axis=1)
    flat = net.node("Flatten", net.node("GlobalMaxPool", net.conv(joined, 2 * WIDTH, HIDDEN)))
    path = tmp_path / "twins.onnx"
    onnx.save(net.model(net.node("MatMul", flat, net.weight(HIDDEN, 5)), 5), path)

    analysis = analyze_model(path)
    read = analysis.model.array
    sites = [s for s in find_sites(analysis.deps).sites if s.channels == 2 * WIDTH]
    stream = TwinStream(Program(analysis.proto, read), samples(12))
    folds = dense_moments(stream, sites, folds=[i % 4 for i in range(12)])

    def weight_of(site):  # type: ignore[no-untyped-def]
        return site.weight.load(read(site.weight.chain.parameter.tensor))

    groups = [g for g in analysis.deps.groups if g.size == WIDTH]
    assert len(groups) == 2
    alone = [group_curve(g, sites, folds, weight_of) for g in groups]
    together = with_company(alone, sites, folds, weight_of, takes={})
    for before, after in zip(alone, together, strict=True):
        assert before.at(0.9 * WIDTH) < 0.01
        assert after.at(0.9 * WIDTH) > 0.1
        assert (after.errors >= before.errors - 1e-12).all()

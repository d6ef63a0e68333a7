"""Consumers drop channels of their own: files are exact, bounds are kept, plans are replayed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import pytest

import onnxprune
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import couple, expand
from onnxprune.core.graph import SELECT_AXIS
from onnxprune.core.layout import Layout, plain_layout
from onnxprune.core.selects import selects
from onnxprune.core.symmetry import find_streams
from onnxprune.costs import DefaultCosts
from onnxprune.errors import InvalidConfigError, PlanMismatchError
from onnxprune.io import write_model
from onnxprune.planning.edges import find_edges
from onnxprune.planning.layouts import make_layout
from onnxprune.planning.options import make_settings
from onnxprune.planning.selection import make_plan
from onnxprune.rewrite import rewrite
from onnxprune.rewrite.selects import operands
from onnxprune.testing.shared_channels import HIDDEN, WIDTH, Net, grouped, inception, nested
from onnxprune.verification import verify_cut

if TYPE_CHECKING:
    from pathlib import Path


def copies_in(path: Path) -> int:
    return sum(n.op_type in ("Slice", "Gather") for n in onnx.load(path).graph.node)


@pytest.mark.parametrize("ratio", [0.3, 0.5])
def test_files_are_exact(net: Path, tmp_path: Path, ratio: float) -> None:
    report = onnxprune.prune(
        net, tmp_path / "out.onnx", ratio=ratio, coupling="unconstrained", criterion="random"
    )
    assert report.verified is not None
    assert report.verified.exact
    assert report.copies is not None
    assert report.copies.slices + report.copies.gathers == copies_in(tmp_path / "out.onnx")
    written = onnx.load(tmp_path / "out.onnx").graph
    assert not any(p.key == SELECT_AXIS for n in written.node for p in n.metadata_props)
    assert "Identity" not in {n.op_type for n in written.node}


@pytest.mark.parametrize("coupling", ["constrained", "unconstrained"])
def test_whole_normalisation_groups_leave(coupling: str, tmp_path: Path) -> None:
    path, out = tmp_path / "net.onnx", tmp_path / "out.onnx"
    onnx.save(grouped(), path)
    analysis = couple(analyze_model(path), coupling)
    deps, norms = analysis.deps, 0
    for group in deps.groups:
        removed = deps.removed_labels(group.atoms[: group.size // 2])
        layout = plain_layout(deps, removed)
        made = rewrite(analysis.proto, analysis.model.array, deps, layout, copies=analysis.copies)
        write_model(made.proto, out, source=analysis.model, arrays=made.arrays)
        assert verify_cut(analysis, removed, out).exact
        scale = next(t for t in onnx.load(out).graph.initializer if t.name == "c5")
        norms += scale.dims[0] < 8
    assert norms


@pytest.mark.parametrize("most", [0, 1, 2])
def test_no_more_copies_than_wanted(net: Path, tmp_path: Path, most: int) -> None:
    report = onnxprune.prune(
        net, tmp_path / "out.onnx", ratio=0.5, coupling="unconstrained", criterion="random",
        max_copies=most,
    )  # fmt: skip
    assert report.verified is not None
    assert report.verified.exact
    assert copies_in(tmp_path / "out.onnx") <= most


@pytest.mark.parametrize(("share", "samples"), [(0.25, 0), (0.5, 0), (0.5, 8)])
@pytest.mark.parametrize("coupling", ["constrained", "unconstrained"])
def test_files_are_as_small_as_wanted(
    net: Path, tmp_path: Path, share: float, coupling: Literal["constrained", "unconstrained"],
    samples: int,
) -> None:  # fmt: skip
    most = int(share * net.stat().st_size) + 2_000
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(samples)]
    out, plan = tmp_path / "out.onnx", tmp_path / "plan.json"
    report = onnxprune.prune(
        net, out, max_bytes=most, coupling=coupling, calibration=feeds or None, plan_out=plan
    )
    assert report.output.bytes == out.stat().st_size <= most
    assert json.loads(plan.read_text())["settings"]["amount"] == most
    onnxprune.apply(net, plan, tmp_path / "again.onnx")
    assert out.read_bytes() == (tmp_path / "again.onnx").read_bytes()


@pytest.mark.parametrize("price", [1e-6, 1e6])
def test_every_layout_of_a_plan_is_exact(net: Path, tmp_path: Path, price: float) -> None:
    analysis = expand(analyze_model(net))
    deps = analysis.deps
    removed = analysis.removed_labels(
        make_plan(analysis, make_settings({"ratio": 0.5, "criterion": "random"}))
    )
    costs = DefaultCosts(copied_per_us=1e3 / price, call_us=price, block=1, unit=1)
    chosen = make_layout(deps, removed, costs=costs)
    rng = np.random.default_rng(0)
    shuffled = make_layout(deps, removed, arrange=lambda n, *_: rng.permutation(n).tolist())
    concats = frozenset(n.outputs[0] for n in deps.graph.nodes if operands(deps, n))
    joined = replace(shuffled, joined=concats)
    for layout in (plain_layout(deps, removed), chosen, shuffled, joined):
        made = rewrite(analysis.proto, analysis.model.array, deps, layout, copies=analysis.copies)
        path = tmp_path / "out.onnx"
        write_model(made.proto, path, source=analysis.model, arrays=made.arrays)
        assert verify_cut(analysis, removed, path).exact
    assert (chosen.cut == removed).all() == (price < 1)
    gathers = [c.value for c in made.copies if c.value in concats]
    assert set(gathers) == concats


def test_a_wrong_order_is_noticed(residual_net: Path, tmp_path: Path) -> None:
    analysis = expand(analyze_model(residual_net))
    deps = analysis.deps
    removed = np.zeros(len(deps.roots), bool)
    holds = np.arange(len(deps.roots))
    column = find_streams(deps)[0].columns[:, 0]
    holds[column] = np.roll(column, 1)  # one of several label sets of each channel
    layout = Layout(deps, removed, removed, holds)
    made = rewrite(analysis.proto, analysis.model.array, deps, layout)
    write_model(made.proto, tmp_path / "o.onnx", source=analysis.model, arrays=made.arrays)
    assert not verify_cut(analysis, removed, tmp_path / "o.onnx").exact


def test_producers_keep_the_union(residual_net: Path) -> None:
    analysis = expand(analyze_model(residual_net))
    deps = analysis.deps
    removed = analysis.removed_labels(
        make_plan(analysis, make_settings({"ratio": 0.5, "criterion": "random"}))
    )
    edges = find_edges(deps)
    assert len(edges) == len(selects(deps)) == 6
    for value in {e.value for e in edges}:
        own = [e for e in edges if e.value == value]
        wanted = np.logical_or.reduce([~removed[e.below] for e in own])
        np.testing.assert_array_equal(~removed[own[0].above], wanted)


@pytest.mark.parametrize(
    ("reader", "uses"), [("none", 0), ("conv", 2), ("heavy gate", 2), ("long gate", 2)]
)
def test_what_weighs_channels_for_a_reader_drops_those_that_it_drops(
    tmp_path: Path, reader: str, uses: int
) -> None:
    net = Net()
    x = net.node("Relu", net.conv("x", 3, WIDTH))
    heavy = reader == "heavy gate"
    mean = net.conv(x if heavy else net.node("GlobalAveragePool", x), WIDTH, 4, 3 if heavy else 1)
    if reader == "long gate":
        mean = net.conv(net.conv(mean, 4, 800, 1), 800, 4, 1)
    gate = net.node("Sigmoid", net.conv(net.node("Relu", mean), 4, WIDTH, 1))
    y = net.conv(net.node("Mul", x, gate), WIDTH, HIDDEN)
    if reader == "conv":
        y = net.node("Add", y, net.conv(x, WIDTH, HIDDEN, 5))
    flat = net.node("Flatten", net.node("GlobalMaxPool", y))
    onnx.save(net.model(net.node("MatMul", flat, net.weight(HIDDEN, 5)), 5), tmp_path / "m.onnx")
    assert len(selects(expand(analyze_model(tmp_path / "m.onnx")).deps)) == uses


def test_an_activation_of_parts_is_no_fork(tmp_path: Path) -> None:
    onnx.save(inception(), tmp_path / "net.onnx")
    forks = expand(analyze_model(tmp_path / "net.onnx")).forks
    assert len(forks) == 2
    assert not any(name.startswith(("concat", "sigmoid")) for name in forks)


def test_a_plan_is_replayed_to_the_byte(net: Path, tmp_path: Path) -> None:
    first, second, plan = (tmp_path / name for name in ("a.onnx", "b.onnx", "plan.json"))
    onnxprune.prune(net, first, ratio=0.5, coupling="unconstrained", plan_out=plan)
    onnxprune.apply(net, plan, second)
    assert first.read_bytes() == second.read_bytes()
    assert onnxprune.verify(net, second, plan=plan).exact


@pytest.mark.parametrize("seed", range(3))
def test_values_without_weights_are_laid_out_with_the_others(seed: int, tmp_path: Path) -> None:
    path, first, second, plan = (tmp_path / n for n in ("n.onnx", "a.onnx", "b.onnx", "plan.json"))
    onnx.save(nested(), path)
    report = onnxprune.prune(
        path, first, ratio=0.5, criterion="random", seed=seed, coupling="unconstrained",
        plan_out=plan,
    )  # fmt: skip
    assert report.verified is not None
    assert report.verified.exact
    onnxprune.apply(path, plan, second)
    assert first.read_bytes() == second.read_bytes()


def edit_order(data: dict) -> None:
    group = data["groups"][0]
    order = list(range(group["size"]))[::-1]
    data["layout"] = [{"id": group["id"], "unread": [], "order": order}]


def edit_unread(data: dict) -> None:
    data["layout"][0]["unread"] = [0, 10_000]


def edit_forks(data: dict) -> None:
    data["forks"] = data["forks"][:1]


@pytest.mark.parametrize(
    ("edit", "fragment"),
    [
        (edit_order, "cannot be right"),
        (edit_unread, "lists what is not removed"),
        (edit_forks, "no such group|a group of|fork"),
    ],
)
def test_edited_layouts_are_refused(
    edit: object, fragment: str, residual_net: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    chosen = onnxprune.plan(residual_net, ratio=0.5, coupling="unconstrained", criterion="random")
    data = json.loads(chosen.to_json())
    edit(data)  # type: ignore[operator]
    plan.write_text(json.dumps(data))
    with pytest.raises(PlanMismatchError, match=fragment):
        onnxprune.apply(residual_net, plan, tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()


def test_copies_need_the_coupling(residual_net: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="max_copies"):
        onnxprune.prune(residual_net, tmp_path / "out.onnx", ratio=0.5, max_copies=1)


def test_samples_repair_every_consumer(residual_net: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    feeds = [{"x": rng.normal(size=(1, 3, 6, 6)).astype(np.float32)} for _ in range(24)]
    plan = tmp_path / "plan.json"
    report = onnxprune.prune(
        residual_net, tmp_path / "out.onnx", ratio=0.5, coupling="unconstrained",
        calibration=feeds, plan_out=plan,
    )  # fmt: skip
    assert report.verified is not None
    assert report.verified.exact
    onnxprune.apply(residual_net, plan, tmp_path / "again.onnx")
    assert (tmp_path / "out.onnx").read_bytes() == (tmp_path / "again.onnx").read_bytes()


@pytest.mark.parametrize("seed", range(3))
def test_a_plan_says_all_that_is_carried_out(net: Path, tmp_path: Path, seed: int) -> None:
    options = {"ratio": 0.4, "coupling": "unconstrained", "criterion": "random", "seed": seed}
    onnxprune.prune(net, tmp_path / "a.onnx", plan_out=tmp_path / "p.json", **options)
    onnxprune.apply(net, tmp_path / "p.json", tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()

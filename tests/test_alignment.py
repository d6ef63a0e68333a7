"""Numbers of channels go in steps that the provider is fast with, unless asked otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import onnxprune
from onnxprune.allocation import Target, solve
from onnxprune.analysis import analyze_model
from onnxprune.core.steps import Candidate, Limits
from onnxprune.costs import Layer
from onnxprune.costs.align import choose_alignment
from onnxprune.demo import MODEL
from onnxprune.errors import TargetError
from onnxprune.pipeline.alignment import find_alignment, with_alignment
from onnxprune.planning.options import make_settings
from onnxprune.planning.predictions import before_and_after
from onnxprune.planning.steps import Steps, eased, limits_of
from onnxprune.planning.variants import best_variant
from onnxprune.providers.spec import parse_spec
from onnxprune.recovery.streams import whole_steps

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = Layer("Conv", "float32", 1, (14, 14), 1, 64, 64, (3, 3))
SIGNAL = Layer("Conv", "float32", 1, (14,), 1, 64, 64, (3,))
PRODUCT = Layer("MatMul", "float32", 1, (14,), 1, 64, 64)


@pytest.fixture(autouse=True)
def _nothing_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def kept(plan: onnxprune.PrunePlan) -> dict[str, int]:
    return {g.id: g.size - len(g.removed) for g in plan.groups}


@pytest.mark.parametrize("wanted", [{"remove_macs": 0.5}, {"remove_params": 0.4}])
def test_a_budget_keeps_steps(wanted: dict[str, float]) -> None:
    plan = onnxprune.plan(MODEL, **wanted)
    free = onnxprune.plan(MODEL, **wanted, align=1)
    assert plan.settings["align"] == 16
    assert "align" not in free.settings
    loose = [i for i, n in kept(plan).items() if n % 4 and n > 4]
    assert len(loose) <= 1  # the last group may be cut to measure
    assert sum(n % 4 > 0 for n in kept(free).values()) > 2
    analysis = analyze_model(MODEL)
    assert before_and_after(analysis, plan)["written"] < before_and_after(analysis, free)["written"]


def test_a_ratio_is_taken_at_its_word() -> None:
    plain = kept(onnxprune.plan(MODEL, ratio=0.3))
    assert plain == kept(onnxprune.plan(MODEL, ratio=0.3, align=1))
    aligned = kept(onnxprune.plan(MODEL, ratio=0.3, align="auto"))
    changed = [i for i, n in plain.items() if aligned.get(i) != n]
    assert changed
    assert all(aligned.get(i, 0) % 4 == 0 for i in changed)


def test_a_ratio_that_makes_nothing_faster_is_mentioned(tmp_path: Path) -> None:
    report = onnxprune.prune(MODEL, tmp_path / "odd.onnx", ratio=0.3, verify=False)
    assert report.predicted_us["written"] > 0.9 * report.predicted_us["original"]
    assert any("--align auto" in note for note in report.notes)
    report = onnxprune.prune(MODEL, tmp_path / "even.onnx", ratio=0.5, align=16, verify=False)
    assert not any("--align auto" in note for note in report.notes)


def test_a_target_that_steps_put_out_of_reach_is_met_without() -> None:
    wanted = 0.93
    with pytest.raises(TargetError):
        onnxprune.plan(MODEL, remove_macs=wanted, align="auto")
    plan = onnxprune.plan(MODEL, remove_macs=wanted)
    assert plan.predicted["macs"] <= 1 - wanted
    assert "align" not in plan.settings


@pytest.mark.parametrize("channels", [8, 16, 24, 32, 48, 64, 96, 256])
def test_small_groups_have_something_to_choose_from(channels: int) -> None:
    step = eased(16, channels)
    assert step in (4, 8, 16)
    assert step == 4 or 4 * step <= channels


@pytest.mark.parametrize(
    ("layer", "provider", "step"),
    [
        (IMAGE, "cpu", 16),
        (SIGNAL, "cpu", 1),
        (PRODUCT, "cpu", 1),
        (PRODUCT, "qnn", 32),
        (SIGNAL, "cuda", 4),
    ],
)
def test_which_layers_have_a_step(layer: Layer, provider: str, step: int) -> None:
    found = choose_alignment({"layer": layer}, None, parse_spec(provider))
    assert found.step == step
    assert found.steps == ({"layer": step} if step > 1 else {})


def _heads(path: Path) -> Path:
    """Write attention of eight heads of eight between products."""
    rng = np.random.default_rng(0)
    shape = numpy_helper.from_array(np.array([0, -1, 8, 8], np.int64), "split")
    merged = numpy_helper.from_array(np.array([0, -1, 64], np.int64), "merged")
    weights = [
        numpy_helper.from_array(rng.normal(size=(64, 64)).astype(np.float32), n) for n in "qkvo"
    ]
    nodes, turned = [], {"q": [0, 2, 1, 3], "k": [0, 2, 3, 1], "v": [0, 2, 1, 3]}
    for name, order in turned.items():
        nodes += [
            helper.make_node("MatMul", ["x", name], [f"{name}1"]),
            helper.make_node("Reshape", [f"{name}1", "split"], [f"{name}2"]),
            helper.make_node("Transpose", [f"{name}2"], [f"{name}3"], perm=order),
        ]
    nodes += [
        helper.make_node("MatMul", ["q3", "k3"], ["s"]),
        helper.make_node("Softmax", ["s"], ["p"]),
        helper.make_node("MatMul", ["p", "v3"], ["m"]),
        helper.make_node("Transpose", ["m"], ["t"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["t", "merged"], ["r"]),
        helper.make_node("MatMul", ["r", "o"], ["y"]),
    ]
    kind = onnx.TensorProto.FLOAT
    ends = [helper.make_tensor_value_info(n, kind, (1, 5, 64)) for n in "xy"]
    graph = helper.make_graph(nodes, "heads", ends[:1], ends[1:], [shape, merged, *weights])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


@pytest.mark.parametrize(("align", "step"), [(4, 1), (8, 1), (16, 2), (24, 3)])
def test_a_head_counts_with_all_its_channels(align: int, step: int, tmp_path: Path) -> None:
    analysis = analyze_model(_heads(tmp_path / "heads.onnx"))
    [rows] = [g for g in analysis.deps.groups if g.level]
    assert rows.size == 8
    assert limits_of(analysis.deps, Limits(align=align), None, rows).align == step
    settings = make_settings({"remove_macs": 0.5}, samples=False)
    found = find_alignment(analysis, settings, {})
    assert found is not None
    assert with_alignment(analysis, settings, found).steps is None  # products have no step


def _candidate(size: int, limits: Limits) -> Candidate:
    atoms = np.arange(size)
    scores = np.arange(size, dtype=float)
    return Candidate(None, atoms, np.arange(size + 1), scores, size - 1, "", size, limits)


@pytest.mark.parametrize(
    ("firm", "amount", "count"), [(True, 0.1, 16), (False, 0.1, 7), (False, 0.26, 17)]
)
def test_a_target_is_not_overshot_for_steps_that_nobody_asked_for(
    firm: bool, amount: float, count: int
) -> None:
    candidate = _candidate(64, Limits(align=16, firm=firm))
    [found] = solve(
        [candidate], [candidate.scores], Target("macs", amount), lambda counts: 1 - counts[0] / 64
    )
    assert found == count


def test_sums_of_what_leaves_are_rounded_until_the_goal_is_met() -> None:
    first, second = (_candidate(32, Limits(align=8)) for _ in range(2))
    second = Candidate(
        None, second.order + 32, second.bounds, second.scores, 31, "", 32, second.limits
    )
    groups = [_Group("a", first.order), _Group("b", second.order)]
    pair = [
        Candidate(g, c.order, c.bounds, c.scores, c.limit, "", c.size, c.limits)  # type: ignore[arg-type]
        for g, c in zip(groups, (first, second), strict=True)
    ]
    leaving = np.zeros(64, bool)
    leaving[:10] = leaving[32:46] = True  # 10 of one, 14 of the other
    counts = whole_steps(pair, leaving, lambda atoms: 1 - len(atoms) / 64, 1 - 24 / 64)
    assert counts == {"a": 8, "b": 16}
    counts = whole_steps(pair, leaving, lambda atoms: 1 - len(atoms) / 64, 1 - 25 / 64)
    assert counts == {"a": 16, "b": 16}


class _Group:
    def __init__(self, name: str, atoms: np.ndarray) -> None:
        self.id, self.atoms = name, atoms


@pytest.mark.parametrize(
    ("metric", "damages", "choices"),
    [("remove_macs", (0, 0), 2), ("remove_macs", (1.0, 9.0), 4), ("remove_macs", (1.0, 1.0), 2)],
)
def test_the_better_variant_of_the_steps_is_taken(
    metric: str, damages: tuple[float, float], choices: int
) -> None:
    analysis = analyze_model(MODEL)
    settings = make_settings({metric: 0.5}, samples=False)
    found = find_alignment(analysis, settings, {})
    assert found is not None
    settings = with_alignment(analysis, settings, found)
    groups = analysis.deps.groups
    nothing = np.zeros(len(analysis.deps.roots), bool)
    wide = analysis.deps.removed_labels(max(groups, key=lambda g: g.size).atoms[::2])

    def describe(steps: Steps) -> tuple[np.ndarray, float]:
        return (nothing, damages[0]) if steps.choices == 4 else (wide, damages[1])

    best = best_variant(analysis, settings, groups, lambda s: s.steps, describe)  # type: ignore[arg-type, return-value]
    assert best.choices == choices

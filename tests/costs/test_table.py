"""Tables: times between the measured ones, steps of channels, and the cache behind them."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.costs import Copy, DefaultCosts, Layer
from onnxprune.costs.align import choose_alignment
from onnxprune.costs.cache import (
    Identity,
    cache_directory,
    read_measured,
    write_measured,
)
from onnxprune.costs.collect import open_collection
from onnxprune.costs.steps import find_steps, probe_layers
from onnxprune.costs.table import CostTable, grid
from onnxprune.providers import parse_spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LAYER = Layer("Conv", "float32", 1, (14, 14), 1, 128, 96, (3, 3))
IDENTITY = Identity("cpu", 1, "1.0", "", "a processor", 2)


def blocked(block: int, slope: float = 1.0):
    """Return a way to measure on a machine that works in blocks of channels."""

    def measure(items: Sequence[Layer | Copy]) -> list[float]:
        times = []
        for item in items:
            if isinstance(item, Copy):
                times.append(float(item.kept))
                continue
            inner, outer = (-(-w // block) * block for w in (item.inner, item.outer))
            times.append(5.0 + slope * item.groups * (inner * outer + inner + outer))
        return times

    return measure


@pytest.mark.parametrize("block", [1, 8, 16, 32])
def test_the_step_of_a_machine_is_found(block: int) -> None:
    table = CostTable(measure=blocked(block))
    steps = table.steps(LAYER.family)
    assert steps is not None
    assert steps.step == block
    assert min((*steps.inner, *steps.outer)) > 0.9


def test_a_provider_that_wants_multiples_of_four() -> None:
    """Any other number of channels takes a slow path, and five pays no more than eight."""
    inner, outer = probe_layers("Conv float32")
    times = [
        [float(-(-w // 4) * 4 if w % 4 == 0 else 2 * w) for w in widths]
        for widths in ([i.inner for i in inner], [o.outer for o in outer])
    ]
    assert find_steps(*times).step == 4


BLOCKS_OF_16 = CostTable(measure=blocked(16)).surface(LAYER)


@given(st.integers(1, 128), st.integers(1, 96))
def test_times_between_points_are_those_of_the_machine(inner: int, outer: int) -> None:
    [wanted] = blocked(16)([LAYER.at((1, inner, outer))])
    aligned = inner % 16 == 0 and outer % 16 == 0
    tolerance = 1e-6 if aligned else 0.5
    assert BLOCKS_OF_16.at((1, inner, outer)) == pytest.approx(wanted, rel=tolerance)


@pytest.mark.parametrize(
    "layer",
    [
        LAYER,
        replace(LAYER, groups=96, inner=1, outer=1),
        replace(LAYER, groups=32, inner=4, outer=8),
        Layer("Gemm", "float32", 1, (1,), 1, 25088, 4096),
        Layer("MatMul", "float32", 1, (50,), 12, 64, 50, weight=False),
    ],
)
def test_surfaces_rise_and_stay_above_zero(layer: Layer) -> None:
    table = CostTable(measure=blocked(8, slope=1e-3))
    surface = table.surface(layer)
    assert all(item.weight_bytes <= 80 << 20 for item in table.demand(layer) if item.weight)
    for axis in range(3):
        times = []
        for share in (0.01, 0.3, 0.5, 0.9, 1.0):
            widths = list(layer.widths)
            widths[axis] = max(1, -(-int(widths[axis] * share) // 8) * 8 if widths[axis] > 8 else 1)
            times.append(surface.at(tuple(widths)))
        assert times == sorted(times)
        assert times[0] > 0
    assert set(grid(layer, 8)[1]) <= set(range(1, layer.inner + 1))


def test_nothing_is_measured_twice() -> None:
    calls = []

    def measure(items: Sequence[Layer | Copy]) -> list[float]:
        calls.extend(i.key for i in items)
        return blocked(8)(items)

    table = CostTable(measure=measure)
    for _ in range(2):
        table.layer_us(LAYER)
        table.copying(Copy("Slice", "float32", 1, (8, 8), 64, 64))
    assert len(calls) == len(set(calls))
    assert table.fill(table.demand(LAYER)) == 0


def test_what_cannot_be_measured_is_estimated() -> None:
    costs = DefaultCosts()
    copy = Copy("Gather", "float32", 1, (8, 8), 64, 32)
    for table in (CostTable(), CostTable(measure=lambda items: [None] * len(items))):
        assert table.layer_us(LAYER) == pytest.approx(costs.layer_us(LAYER))
        assert table.copying(copy) == costs.copying(copy)
        assert table.steps(LAYER.family) is None


def test_what_a_copy_takes_is_a_plane_through_what_was_measured() -> None:
    def measure(items: Sequence[Layer | Copy]) -> list[float]:
        return [3.0 + 0.25 * i.total + 0.5 * i.kept for i in items if isinstance(i, Copy)]

    found = CostTable(measure=measure).copying(Copy("Gather", "float32", 1, (8, 8), 96, 96))
    assert found.us(80, 20, 40) == pytest.approx(2 * 3.0 + 0.25 * 80 + 0.5 * 60)
    assert found.us(80) == 0.0
    narrow = Copy("Gather", "float32", 1, (8, 8), 3, 3)
    assert CostTable(measure=measure).copying(narrow) == DefaultCosts().copying(narrow)


def test_depthwise_convolutions_have_steps_of_their_own() -> None:
    def measure(items: Sequence[Layer | Copy]) -> list[float]:
        return [
            i.groups * (7.0 if i.groups % 4 else 1.0)
            if isinstance(i, Layer) and i.groups > 1
            else blocked(16)([i])[0]
            for i in items
        ]

    surface = CostTable(measure=measure).surface(replace(LAYER, groups=96, inner=1, outer=1))
    assert surface.at((66, 1, 1)) > 5 * surface.at((68, 1, 1))


def test_the_cache_keeps_and_merges(tmp_path: Path) -> None:
    assert write_measured(IDENTITY, {"a": 1.5}, tmp_path)
    assert write_measured(IDENTITY, {"b": None}, tmp_path)
    assert read_measured(IDENTITY, tmp_path) == {"a": 1.5, "b": None}
    for name, value in asdict(IDENTITY).items():
        other = replace(IDENTITY, **{name: 7 if isinstance(value, int) else "other"})
        assert read_measured(other, tmp_path) == {}
    assert [p.suffix for p in (tmp_path / "costs").iterdir()] == [".json"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 10_000,
        b'{"format": "onnxprune.cost-table/2"}',
        {"us": {"a": "fast"}}, {"us": {"a": -1}}, {"us": {"a": float("nan")}}, {"us": [1]},
        {"identity": {}},
    ],
)  # fmt: skip
def test_a_broken_cache_is_as_good_as_none(tmp_path: Path, content: object) -> None:
    write_measured(IDENTITY, {"a": 1.0}, tmp_path)
    path = tmp_path / "costs" / IDENTITY.file_name
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content).encode()
    path.write_bytes(content)
    assert read_measured(IDENTITY, tmp_path) == {}
    assert write_measured(IDENTITY, {"b": 2.0}, tmp_path)
    assert read_measured(IDENTITY, tmp_path) == {"b": 2.0}


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    blocked_path = tmp_path / "file"
    blocked_path.write_text("")
    assert not write_measured(IDENTITY, {"a": 1.0}, blocked_path)
    assert read_measured(IDENTITY, blocked_path) == {}


@pytest.mark.parametrize(
    ("environment", "ending"),
    [({"XDG_CACHE_HOME": "relative"}, ".cache/onnxprune"), ({}, ".cache/onnxprune")],
)
def test_where_the_cache_is(environment: dict[str, str], ending: str) -> None:
    assert cache_directory(environment).as_posix().endswith(ending)


def test_measurements_reach_the_cache(tmp_path: Path) -> None:
    small = Layer("MatMul", "float32", 1, (2,), 1, 8, 8)
    told: list[int] = []
    spec = parse_spec("cpu")
    collection = open_collection(
        spec, IDENTITY, directory=tmp_path, progress=lambda done, _total: told.append(done)
    )
    assert collection.table.fill([small]) == 1
    assert (collection.added, collection.kept, told) == (1, True, [1])
    again = open_collection(spec, IDENTITY, directory=tmp_path, measuring=False)
    assert again.table.measured.keys() == {small.key}
    assert again.table.fill([LAYER]) == 0


@pytest.mark.parametrize(
    ("name", "step", "said"),
    [
        ("cpu", 16, "calibrate-costs"),
        ("qnn", 32, "known of qnn"),
        ("tensorrt", 4, "known of tensorrt"),
    ],
)
def test_alignment_without_measurements(name: str, step: int, said: str) -> None:
    found = choose_alignment({"layer": LAYER}, None, parse_spec(name))
    assert said in found.source
    assert (found.step, found.steps) == (step, {"layer": step})


def test_alignment_that_was_measured() -> None:
    found = choose_alignment({"layer": LAYER}, CostTable(measure=blocked(8)), parse_spec("cpu"))
    assert (found.step, found.source) == (8, "measured on cpu (Conv float32)")

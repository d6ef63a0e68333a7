"""Plans laid out by what was measured on a provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnxprune
from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.costs import Copy, Layer
from onnxprune.costs.table import CostTable
from onnxprune.planning.latency import demanded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest


def machine(copy_us: float):
    """Return a way to measure on a machine where copies take so long for every channel."""

    def measure(items: Sequence[Layer | Copy]) -> list[float]:
        return [
            copy_us * i.kept if isinstance(i, Copy) else 1.0 + 1e-3 * i.inner * i.outer
            for i in items
        ]

    return measure


def plans(
    net: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    table: CostTable,
    **target: float,
) -> onnxprune.core.plan.PrunePlan:
    (tmp_path / "onnxprune" / "costs").mkdir(parents=True, exist_ok=True)
    (tmp_path / "onnxprune" / "costs" / "some.json").write_text("{}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("onnxprune.pipeline.copycosts._known", lambda *_: table)
    options = target or {"ratio": 0.5}
    return onnxprune.plan(net, coupling="unconstrained", criterion="random", **options)


def test_the_same_choice_is_written_as_the_provider_likes(
    residual_net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deps = expand(analyze_model(residual_net)).deps
    found = []
    for price in (1e-9, 1e9):
        table = CostTable(measure=machine(price))
        table.fill(demanded(deps, table))
        chosen = plans(residual_net, monkeypatch, tmp_path, CostTable(table.measured))
        assert chosen.settings["costs_source"] == "measured on cpu"
        found.append(chosen)
    cheap, dear = found
    assert cheap.groups == dear.groups
    assert not any(e.unread for e in cheap.layout or ())
    assert any(e.unread for e in dear.layout or ())


def test_half_a_table_is_none(
    residual_net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deps = expand(analyze_model(residual_net)).deps
    table = CostTable(measure=machine(1e9))
    table.fill(demanded(deps, table))
    copies = {k: v for k, v in table.measured.items() if k.startswith("copy")}
    assert 0 < len(copies) < len(table.measured)
    partly = CostTable({k: v for k, v in table.measured.items() if k not in copies})
    chosen = plans(residual_net, monkeypatch, tmp_path, partly)
    assert "costs_source" not in chosen.settings


def test_what_was_asked_for_leaves_however_dear_copies_are(
    residual_net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deps = expand(analyze_model(residual_net)).deps
    table = CostTable(measure=machine(1e9))
    table.fill(demanded(deps, table))
    chosen = plans(residual_net, monkeypatch, tmp_path, CostTable(table.measured), remove_macs=0.4)
    assert chosen.settings["costs_source"] == "measured on cpu"
    assert chosen.predicted["macs"] <= 0.61

from __future__ import annotations

import pytest

from onnxprune.bench.energy import EnergyMeter


@pytest.fixture
def counters(tmp_path):
    def write(*values):
        for number, value in enumerate(values):
            folder = tmp_path / f"intel-rapl:{number}"
            folder.mkdir(exist_ok=True)
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text("1000000\n")
        return tmp_path

    return write


def test_packages_add_up(counters):
    meter = EnergyMeter(counters(1000, 5000))
    assert meter.available
    counters(3000, 6000)
    assert meter.spent_mj() == 3.0
    assert meter.spent_mj() == 0.0


def test_counter_that_begins_anew(counters):
    meter = EnergyMeter(counters(999_000))
    counters(1000)
    assert meter.spent_mj() == 2.0


def test_no_counters(tmp_path):
    meter = EnergyMeter(tmp_path / "nothing")
    assert not meter.available
    assert meter.spent_mj() == 0.0

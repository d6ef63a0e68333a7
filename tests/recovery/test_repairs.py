"""The file of repaired weights beside a plan."""

from __future__ import annotations

import numpy as np
import pytest

from onnxprune.core.plan import PrunePlan
from onnxprune.errors import PlanMismatchError
from onnxprune.recovery.repairs import load_repairs, save_repairs


@pytest.fixture
def plan(tmp_path):
    weights = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "s": np.float32(1).reshape(())}
    repair = save_repairs(tmp_path / "p.safetensors", weights, {"y": np.ones(2, np.float32)})
    return PrunePlan(model_sha256="0", groups=[], repair=repair)


def test_what_is_saved_comes_back(plan, tmp_path):
    again = PrunePlan.model_validate_json(plan.to_json())
    weights, biases = load_repairs(again, tmp_path)
    np.testing.assert_array_equal(weights["w"], np.arange(6).reshape(2, 3))
    assert weights["s"].shape == ()
    np.testing.assert_array_equal(biases["y"], [1, 1])


def test_a_plan_without_repair_needs_no_file(tmp_path):
    assert load_repairs(PrunePlan(model_sha256="0", groups=[]), tmp_path) == ({}, {})


@pytest.mark.parametrize("damage", ["other", "missing", "garbage", "outside"])
def test_other_weights_are_refused(plan, tmp_path, damage):
    path = tmp_path / "p.safetensors"
    if damage == "other":
        save_repairs(path, {"w": np.zeros((2, 3), np.float32)}, {})
    elif damage == "missing":
        path.unlink()
    elif damage == "garbage":
        path.write_bytes(b"nothing of the kind")
    else:
        repair = plan.repair.model_copy(update={"file": "../p.safetensors"})
        plan = plan.model_copy(update={"repair": repair})
    with pytest.raises(PlanMismatchError):
        load_repairs(plan, tmp_path)

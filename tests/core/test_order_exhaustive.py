"""Orders against exhaustion: thousands of random streams, with the oracle of the benchmarks."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from onnxprune.core.order import best_order, consecutive_order, evaluate_order, upscale_order

if TYPE_CHECKING:
    from types import ModuleType

ORACLE = Path(__file__).resolve().parents[2] / "benchmarks" / "order" / "oracle.py"


@pytest.fixture(scope="module")
def oracle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("order_oracle", ORACLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up their own module
    spec.loader.exec_module(module)
    return module


def check(oracle: ModuleType, seed: int, count: int, channels: int) -> None:
    generator = np.random.default_rng(seed)
    instances = [
        oracle.random_instance(generator, channels=channels, consumers=5) for _ in range(count)
    ]
    for instance, least in zip(instances, oracle.least_bytes(instances), strict=True):
        n, sets, weights = instance.n, instance.sets, instance.weights
        free = consecutive_order(n, sets)
        assert (free is not None) == (least == 0), instance
        if free is not None:
            assert sorted(free) == list(range(n))
            assert evaluate_order(free, sets, weights).bytes_copied == 0, instance
        best = best_order(n, sets, weights)
        assert sorted(best.order) == list(range(n))
        assert best.exact, instance
        assert evaluate_order(best.order, sets, weights).bytes_copied == best.bytes_copied == least
        baseline = evaluate_order(upscale_order(n, sets), sets, weights)
        assert best.bytes_copied <= baseline.bytes_copied
        limited = best_order(n, sets, weights, effort=0)
        assert limited.bytes_copied <= baseline.bytes_copied
        for run_cost in (1, 1000):
            priced = best_order(n, sets, weights, run_cost=run_cost)
            assert (
                priced.cost <= evaluate_order(baseline.order, sets, weights, run_cost=run_cost).cost
            )
            assert priced.cost >= least


def test_oracle_agrees_with_all_permutations(oracle: ModuleType) -> None:
    generator = np.random.default_rng(1)
    instances = [oracle.random_instance(generator, channels=6, consumers=5) for _ in range(60)]
    for instance, least in zip(instances, oracle.least_bytes(instances), strict=True):
        assert least == min(
            evaluate_order(order, instance.sets, instance.weights).bytes_copied
            for order in itertools.permutations(range(instance.n))
        )


def test_orders_are_optimal(oracle: ModuleType) -> None:
    check(oracle, 2, 1000, channels=10)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 110))
def test_many_orders_are_optimal(oracle: ModuleType, seed: int) -> None:
    check(oracle, seed, 2000, channels=12)

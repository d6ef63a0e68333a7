"""Cases of single nodes by operator: onnx's own and ours."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from onnxprune.rules.table import live_operators
from onnxprune.testing.extra import extra_cases
from onnxprune.testing.node_cases import node_cases

if TYPE_CHECKING:
    from onnxprune.testing.node_cases import NodeCase


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `operator` once for every live operator."""
    if "operator" in metafunc.fixturenames:
        metafunc.parametrize("operator", live_operators())


@pytest.fixture(scope="session")
def cases_by_operator() -> dict[str, list[NodeCase]]:
    """The cases of each operator of ai.onnx."""
    found: dict[str, list[NodeCase]] = {}
    for case in itertools.chain(extra_cases(), node_cases()):
        if case.node.domain in ("", "ai.onnx"):
            found.setdefault(case.node.op_type, []).append(case)
    return found


@pytest.fixture
def cases(operator: str, cases_by_operator: dict[str, list[NodeCase]]) -> list[NodeCase]:
    """The cases of the operator under test."""
    return cases_by_operator.get(operator, [])

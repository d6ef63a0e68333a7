"""What authors of plug-ins subclass: it passes for what is right, and finds what is wrong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from onnxprune.allocation import ALLOCATIONS, Allocation
from onnxprune.core.registry import RULES, SHAPES
from onnxprune.criteria import CRITERIA, Criterion
from onnxprune.testing.conformance import (
    AllocationConformance,
    CriterionConformance,
    RuleConformance,
)
from onnxprune.testing.made_cases import floats, made_case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GUIDE = Path(__file__).resolve().parents[2] / "plugins" / "README.md"

RELU = made_case("relu", "Relu", [floats(3, 4)])
SOFTMAX = made_case("softmax", "Softmax", [floats(3, 4)])


class TestL2(CriterionConformance):
    name = "l2"


class TestGlobal(AllocationConformance):
    name = "global"


class TestOwnRules(RuleConformance):
    package = "a package that registers nothing"
    cases = (RELU, SOFTMAX)


def test_a_wrong_rule_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    lookup = RULES.lookup
    monkeypatch.setattr(RULES, "lookup", lambda _op, d, s: lookup("Relu", d, s))
    with pytest.raises(AssertionError, match="differs by"):
        RuleConformance().test_a_cut_is_the_masked_original(SOFTMAX)


def test_a_rule_that_lets_nothing_go_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RULES, "lookup", lambda *_: None)
    with pytest.raises(AssertionError, match="nothing left"):
        RuleConformance().test_a_cut_is_the_masked_original(RELU)


def test_a_wrong_shape_is_found() -> None:
    case = made_case("gelu", "Gelu", [floats(3, 4)], domain="com.microsoft", opset=1)
    lookup = SHAPES.lookup
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SHAPES, "lookup", lambda *_: lambda *_: [(1, (3, 5))])
        with pytest.raises(AssertionError, match="y0"):
            RuleConformance().test_shapes_are_inferred(case)
        patch.setattr(SHAPES, "lookup", lambda *_: lambda *_: [(1, (3, 4))])
        RuleConformance().test_shapes_are_inferred(case)
    assert SHAPES.lookup == lookup


def test_a_rule_without_a_case_is_found() -> None:
    class Own(RuleConformance):
        package = "onnxprune"
        cases = (RELU,)

    with pytest.raises(AssertionError, match=r"ai\.onnx::Abs since 1"):
        Own().test_every_rule_has_a_case()


def wrong_criterion(function: Callable) -> Criterion:
    return Criterion("wrong", function, False, "", "", "Wrong.")


WRONG_CRITERIA: dict[str, Callable] = {
    "too few": lambda _context, group: np.zeros(group.size - 1),
    "not finite": lambda _context, group: np.full(group.size, np.nan),
}


@pytest.mark.parametrize("function", WRONG_CRITERIA.values(), ids=WRONG_CRITERIA)
def test_a_wrong_criterion_is_found(function: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CRITERIA, "wrong", wrong_criterion(function))

    class Wrong(CriterionConformance):
        name = "wrong"

    with pytest.raises(AssertionError):
        Wrong().test_one_finite_score_per_atom()


def test_a_criterion_that_changes_its_mind_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    drawn = wrong_criterion(lambda _context, group: rng.random(group.size))
    monkeypatch.setitem(CRITERIA, "wrong", drawn)

    class Wrong(CriterionConformance):
        name = "wrong"

    with pytest.raises(AssertionError):
        Wrong().test_the_same_twice()


def test_a_wrong_allocation_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    falling = Allocation("wrong", lambda x: [-c.scores for c in x.candidates], False, "", "Falls.")
    monkeypatch.setitem(ALLOCATIONS, "wrong", falling)

    class Wrong(AllocationConformance):
        name = "wrong"

    with pytest.raises(AssertionError):
        Wrong().test_one_priority_per_step()


def blocks(kind: str) -> Iterator[str]:
    """Return the code of one kind in the guide."""
    for match in re.finditer(
        rf"^```{kind}\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL
    ):
        yield match[1]


def test_the_plugin_of_the_guide(site, tmp_path: Path) -> None:
    """The text of plugins/README.md, installed and run as it stands."""
    project = tomllib.loads(next(blocks("toml")))["project"]
    [(name, module)] = project["entry-points"]["onnxprune.rules"].items()
    code, test = blocks("python")
    assert len([n for n in code.splitlines() if n.strip()]) <= 20
    site.install(project["name"], code, version=project["version"])
    (site.path / f"{module}.py").write_text(code)
    points = site.path / f"my_plugin-{project['version']}.dist-info" / "entry_points.txt"
    points.write_text(f"[onnxprune.rules]\n{name} = {module}\n")
    listed = site.listed()["my-plugin"]
    assert (listed["status"], listed["registered"]) == ("loaded", ["my.company::ScaledTanh"])
    file = tmp_path / "test_my_plugin.py"
    file.write_text(test)
    done = site.run("-m", "pytest", "-q", "-p", "no:cacheprovider", file)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout

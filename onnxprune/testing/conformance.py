"""Tests that an author of a plug-in gets by subclassing: of rules, criteria and allocations.

A subclass in a test module gives what is to be tested; pytest collects the tests that it inherits.

    class TestMyRules(RuleConformance):
        package = "my_plugin"
        cases = [made_case("twice", "Twice", [floats(2, 6)], domain="example")]
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from onnx import helper, numpy_helper

from onnxprune.allocation import AllocationContext, Target, find_allocation, solve
from onnxprune.analysis import Analysis, analyze_model
from onnxprune.core.graph import build_graph
from onnxprune.core.registry import RULES, UPDATES
from onnxprune.core.shapes import concretize
from onnxprune.core.steps import Limits, make_candidate
from onnxprune.criteria import ScoreContext, find_criterion
from onnxprune.demo import MODEL
from onnxprune.testing.execution import ENGINES, first_engine, run_in_reference
from onnxprune.testing.soundness import check, model_of
from onnxprune.testing.trials import Trial, operand_inputs, plain, trials, unfed_inputs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from onnx.reference.op_run import OpRun

    from onnxprune.core.registry import Entry, Table
    from onnxprune.testing.execution import Engine
    from onnxprune.testing.node_cases import NodeCase

__all__ = ["AllocationConformance", "CriterionConformance", "RuleConformance"]


class RuleConformance:
    """Tests of the rules that a package registers.

    Each case is a model of one node. Its inputs become weights, or values from elsewhere, in many
    ways; a random set of what the rule lets go is removed; the node is updated, run, and compared
    with the slices of what it gives when the axes that it sums over are zero there.

    Attributes:
        package: the package whose rules are tested; each needs a case at every version.
        cases: the cases; `onnxprune.testing.made_cases.made_case` makes one.
        ways: how many ways to label each case.
        operators: implementations in NumPy of operators that ONNX Runtime does not run here.
        frozen: operators that pass nothing on purpose, and need no case.
    """

    package: ClassVar[str]
    cases: ClassVar[Sequence[NodeCase]]
    ways: ClassVar[int] = 12
    operators: ClassVar[Sequence[type[OpRun]]] = ()
    frozen: ClassVar[Iterable[tuple[str, str]]] = ()

    def pytest_generate_tests(self, metafunc: Any) -> None:  # noqa: ANN401  # pytest's
        """Run tests that take `case` once for each."""
        if "case" in metafunc.fixturenames:
            metafunc.parametrize("case", self.cases, ids=[c.name for c in self.cases])

    @property
    def engines(self) -> tuple[Engine, ...]:
        """What runs a case: ONNX Runtime, or a reference."""
        return (ENGINES[0], partial(run_in_reference, operators=self.operators))

    def entries(self, table: Table = RULES) -> list[Entry]:
        """Return what the package registered."""
        return [e for e in table if e.module.partition(".")[0] == self.package]

    def test_a_cut_is_the_masked_original(self, case: NodeCase) -> None:
        """What remains is what the original gives without what left, and something can leave."""
        removed, problems = 0, []
        for trial in trials(case, count=self.ways):
            outcome = check(trial, self.engines)
            removed += outcome.removed
            if outcome.error:
                problems.append(f"{trial}: {outcome.error}")
        assert not problems, "\n".join(problems)
        assert removed, "nothing left, or nothing here runs the operator"

    def test_shapes_are_inferred(self, case: NodeCase) -> None:
        """Types and shapes of outputs, where they are inferred, are what comes out."""
        constants = (operand_inputs(case) | unfed_inputs(case)) & plain(case)
        model = model_of(Trial(case, constants))
        graph = build_graph(model)
        [shapes] = concretize(graph, numpy_helper.to_array, [{}])
        feed = {n: v for n, v in case.inputs.items() if n not in constants}
        found = first_engine(model, feed, self.engines)
        assert found is not None, "nothing here runs the operator"
        for key, [value] in found[1].items():
            assert value is not None
            kind = helper.np_dtype_to_tensor_dtype(value.dtype)
            seen = (shapes.dtypes.get(key), shapes.shape(key))
            assert seen == (kind, value.shape), f"{key} is {kind} {value.shape}, inferred {seen}"

    def test_every_rule_has_a_case(self) -> None:
        """Every rule serves some case, at each version that it was registered for."""
        served = set()
        for case in self.cases:
            entry = RULES.find(case.node.op_type, _domain(case), _since(case))
            if entry is not None:
                served.add((entry.domain, entry.op, entry.since))
        frozen = set(self.frozen)
        missing = [
            f"{e.domain or 'ai.onnx'}::{e.op} since {e.since}"
            for e in self.entries()
            if (e.domain, e.op) not in frozen and (e.domain, e.op, e.since) not in served
        ]
        assert not missing, f"without a case: {missing}"

    def test_every_update_has_a_rule(self) -> None:
        """An update without a rule would never run."""
        alone = [e.op for e in self.entries(UPDATES) if not RULES.find(e.op, e.domain, e.since)]
        assert not alone, f"without a rule: {alone}"

    def test_every_rule_says_what_passes(self) -> None:
        """The first line of a docstring is what people read of a rule."""
        silent = [e.op for e in self.entries() if not e.summary.endswith(".")]
        assert not silent, f"without a sentence: {silent}"


def _domain(case: NodeCase) -> str:
    return "" if case.node.domain == "ai.onnx" else case.node.domain


def _since(case: NodeCase) -> int:
    [node] = build_graph(case.model).nodes
    return node.since


class CriterionConformance:
    """Tests of a criterion.

    Attributes:
        name: its name.
        model: the model that it is tried on.
    """

    name: ClassVar[str]
    model: ClassVar[Path] = MODEL

    def scores(self, analysis: Analysis) -> list[np.ndarray]:
        """Return its scores of every group."""
        context = ScoreContext(analysis.deps, analysis.model.array, 0)
        found = find_criterion(self.name, samples=False)
        return [np.asarray(found(context, group)) for group in analysis.deps.groups]

    def test_one_finite_score_per_atom(self) -> None:
        """Scores are numbers, as many as a group has atoms."""
        analysis = analyze_model(self.model)
        for group, scores in zip(analysis.deps.groups, self.scores(analysis), strict=True):
            assert scores.shape == (group.size,)
            assert np.isfinite(scores).all()

    def test_the_same_twice(self) -> None:
        """The same model and seed give the same scores, whatever was scored before."""
        first, second = (self.scores(analyze_model(self.model)) for _ in range(2))
        for a, b in zip(first, second, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_says_what_it_does(self) -> None:
        """The first line of its docstring is what `onnxprune criteria` shows."""
        summary = find_criterion(self.name, samples=False).summary
        assert summary.endswith("."), f"no sentence: {summary!r}"


class AllocationConformance:
    """Tests of an allocation that needs no samples.

    Attributes:
        name: its name.
        model: the model that it is tried on.
    """

    name: ClassVar[str]
    model: ClassVar[Path] = MODEL

    def context(self) -> AllocationContext:
        """Return the groups of the model, with random scores; half of the parameters are asked."""
        analysis = analyze_model(self.model)
        rng = np.random.default_rng(0)
        made = [
            make_candidate(analysis.deps, g, rng.random(g.size), analysis.sites, Limits())
            for g in analysis.deps.groups
        ]
        candidates = [c for c in made if c.limit]
        before = analysis.cost().params

        def remaining(counts: Sequence[int]) -> float:
            atoms = [c.atoms(n) for c, n in zip(candidates, counts, strict=True)]
            removed = analysis.deps.removed_labels(np.concatenate(atoms))
            return analysis.cost(removed).params / before

        return AllocationContext(candidates, remaining, 0.5)

    def test_one_priority_per_step(self) -> None:
        """Priorities are numbers, as many as steps, and do not fall within a group."""
        context = self.context()
        priorities = find_allocation(self.name, samples=False)(context)
        for candidate, own in zip(context.candidates, priorities, strict=True):
            assert np.shape(own) == (len(candidate.scores),)
            assert not np.isnan(own).any()
            assert (np.diff(own) >= 0).all()

    def test_a_target_is_met(self) -> None:
        """Half of the parameters can be asked for."""
        context = self.context()
        priorities = find_allocation(self.name, samples=False)(context)
        counts = solve(
            context.candidates, priorities, Target("params", context.goal),
            context.remaining,
        )  # fmt: skip
        assert context.remaining(counts) <= context.goal
        assert all(n <= c.limit for n, c in zip(counts, context.candidates, strict=True))

    def test_says_what_it_does(self) -> None:
        """The first line of its docstring is what `onnxprune criteria` shows."""
        summary = find_allocation(self.name, samples=False).summary
        assert summary.endswith("."), f"no sentence: {summary!r}"

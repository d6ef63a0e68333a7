"""What is checked: two models and the limits, each read once and only when it is wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from onnxprune.bench.workload import make_recipe, read_subject
from onnxprune.errors import InvalidConfigError, PlanMismatchError
from onnxprune.io import load_model
from onnxprune.planning.plans import read_plan
from onnxprune.providers.spec import ProviderSpec, parse_spec

if TYPE_CHECKING:
    from pathlib import Path

    from onnxprune.bench.document import BenchReport
    from onnxprune.bench.workload import Subject
    from onnxprune.config import CheckSection
    from onnxprune.config.check import PerProvider
    from onnxprune.core.plan import PrunePlan
    from onnxprune.io import Model
    from onnxprune.runtime.feeds import FeedRecipe
    from onnxprune.stages import Progress

__all__ = ["Job"]


@dataclass
class Job:
    """One run of the gate.

    Attributes:
        path: The pruned model.
        section: Limits, and what to measure with.
        pythons: Interpreters by provider's name.
        progress: Called with what is being done, and how much of how much.
        benches: Measurements of latency by provider, made so far.
        notes: What the user should know.
    """

    path: Path
    section: CheckSection
    pythons: dict[str, Path] = field(default_factory=dict)
    progress: Progress | None = None
    benches: dict[str, BenchReport] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @cached_property
    def pruned(self) -> Model:
        """The pruned model."""
        return load_model(self.path)

    @property
    def baseline_path(self) -> Path:
        """The original's file.

        Raises:
            InvalidConfigError: None was given.
        """
        if self.section.baseline is None:
            message = "there is no baseline, and a limit compares with it"
            raise InvalidConfigError(message, hint="give the original with --baseline")
        return self.section.baseline

    @cached_property
    def baseline(self) -> Model:
        """The original."""
        return load_model(self.baseline_path)

    @cached_property
    def plan(self) -> PrunePlan | None:
        """The plan, if one was given.

        Raises:
            InvalidConfigError: It cannot be read.
        """
        if self.section.plan is None:
            return None
        try:
            return read_plan(self.section.plan)
        except PlanMismatchError as error:
            raise InvalidConfigError(error.message, hint=error.hint) from None

    @cached_property
    def subjects(self) -> tuple[Subject, Subject]:
        """The baseline and the pruned model, read for running them at the same sizes."""
        first = read_subject(self.baseline_path, dims=self.section.dims, batch=self.section.batch)
        return first, self._subject({**first.dims, **self.section.dims})

    @cached_property
    def alone(self) -> Subject:
        """The pruned model, read for running it, with or without a baseline."""
        if self.section.baseline is None:
            return self._subject(self.section.dims, self.section.batch)
        return self.subjects[1]

    @cached_property
    def recipe(self) -> FeedRecipe:
        """Made-up inputs for both models."""
        return make_recipe(self.subjects, seed=self.section.seed)

    @cached_property
    def specs(self) -> list[ProviderSpec]:
        """The providers to measure on: those listed, and others that have a limit of their own."""
        found = [parse_spec(text) for text in self.section.providers]
        for limit in (self.section.max_latency_ratio, self.section.min_provider_share):
            for name in limit if isinstance(limit, dict) else ():
                if not any(name in {spec.text, spec.facts.name} for spec in found):
                    found.append(parse_spec(name))
        return found

    def limit_for(self, limit: PerProvider | None, spec: ProviderSpec) -> float | None:
        """Return the limit that holds on a provider, None where there is none."""
        if not isinstance(limit, dict):
            return limit
        return limit.get(spec.text, limit.get(spec.facts.name))

    def tell(self, what: str) -> None:
        """Say what is being done."""
        if self.progress is not None:
            self.progress(what, 0, 0)

    def _subject(self, dims: dict[str, int], batch: int | None = None) -> Subject:
        return read_subject(self.path, dims=dims, batch=batch)

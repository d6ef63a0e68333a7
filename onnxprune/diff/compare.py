"""Tell which kind two files are of, and compare them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.diff.document import DiffReport
from onnxprune.diff.models import compare_models
from onnxprune.diff.plans import compare_plans
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io import load_model
from onnxprune.io.files import map_file
from onnxprune.planning.plans import read_plan

if TYPE_CHECKING:
    from pathlib import Path


def compare_files(first: Path, second: Path) -> DiffReport:
    """Compare two models, or two plans.

    Args:
        first: a model or a plan.
        second: another of the same kind.

    Raises:
        InvalidModelError: one is missing, or no usable model.
        PlanMismatchError: one is no plan that can be read.
        InvalidConfigError: one is a model and the other a plan.
    """
    kinds = [_is_plan(path) for path in (first, second)]
    if kinds[0] != kinds[1]:
        model, plan = (second, first) if kinds[0] else (first, second)
        message = f"'{printable(plan)}' is a plan and '{printable(model)}' is none"
        raise InvalidConfigError(message, hint="compare two models, or two plans")
    if kinds[0]:
        summary, changes = compare_plans(read_plan(first), read_plan(second))
    else:
        summary, changes = compare_models(load_model(first), load_model(second))
    return DiffReport(
        first=str(first), second=str(second), kind="plans" if kinds[0] else "models",
        same=not changes, summary=summary or ["no difference"], changes=changes,
    )  # fmt: skip


def _is_plan(path: Path) -> bool:
    content, _ = map_file(path)
    return bytes(content[:64]).lstrip()[:1] == b"{"

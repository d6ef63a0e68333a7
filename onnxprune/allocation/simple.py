"""Uniform and global allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.registry import allocation

if TYPE_CHECKING:
    from onnxprune.allocation.registry import AllocationContext
    from onnxprune.core.steps import Scores


@allocation("uniform")
def uniform(context: AllocationContext) -> list[Scores]:
    """The same fraction of every group."""
    return [(np.arange(len(c.scores)) + 0.5) / max(1, c.size) for c in context.candidates]


@allocation("global")
def global_(context: AllocationContext) -> list[Scores]:
    """One threshold on the scores of all groups."""
    return [np.maximum.accumulate(c.scores) if len(c.scores) else c.scores
            for c in context.candidates]  # fmt: skip

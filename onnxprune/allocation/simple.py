"""Uniform and global allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.allocation.registry import allocation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.steps import Candidate, Scores


@allocation("uniform")
def uniform(candidates: Sequence[Candidate]) -> list[Scores]:
    """The same fraction of every group."""
    return [(np.arange(len(c.scores)) + 0.5) / max(1, c.size) for c in candidates]


@allocation("global")
def global_(candidates: Sequence[Candidate]) -> list[Scores]:
    """One threshold on the scores of all groups."""
    return [np.maximum.accumulate(c.scores) if len(c.scores) else c.scores for c in candidates]

"""Random scores: the control every other criterion has to beat."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext


@criterion("random")
def random(context: ScoreContext, group: Group) -> Scores:
    """Uniform noise from the seed and the group's name."""
    digest = hashlib.sha256(f"{context.seed}:{group.id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little")).random(group.size)

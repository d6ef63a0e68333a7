"""Greedy optimal brain surgeon on second moments (Hassibi and Stork, 1992; Meng et al., OSSCAR,
arXiv 2403.12983, structured and with least squares): what `onnxprune.recovery` works out while it
walks along the network.
"""  # noqa: D205

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.criteria.registry import criterion

if TYPE_CHECKING:
    from onnxprune.core.groups import Group
    from onnxprune.core.steps import Scores
    from onnxprune.criteria.registry import ScoreContext


@criterion("obs", samples=True)
def obs(context: ScoreContext, group: Group) -> Scores:
    """How badly the channels that stay can stand in for it, on the network as repaired so far."""
    known = (context.greedy or {}).get(group.id)
    return np.zeros(group.size) if known is None else known

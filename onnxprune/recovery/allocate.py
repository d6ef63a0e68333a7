"""Share a target out among groups, with what their curves expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxprune.allocation import AllocationContext, find_allocation, solve
from onnxprune.errors import NothingToPruneError
from onnxprune.planning.selection import leaving, make_candidate_of, what_remains
from onnxprune.planning.variants import best_variant
from onnxprune.recovery.offers import offer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis
    from onnxprune.core.labels import LabelArray
    from onnxprune.core.steps import Candidate
    from onnxprune.planning.selection import Settings
    from onnxprune.recovery.curves import Curve

__all__ = ["Share", "share_out"]


@dataclass(frozen=True, slots=True)
class Share:
    """What every group gives.

    Attributes:
        settings: how that was chosen.
        candidates: groups that can give anything, with their steps.
        counts: steps of each.
        damage: what the curves expect of that, 0 where they say nothing.
    """

    settings: Settings
    candidates: list[Candidate]
    counts: list[int]
    damage: float


def share_out(
    analysis: Analysis,
    settings: Settings,
    allocation: str,
    scored: Sequence[tuple[Curve, NDArray[np.float64]]],
    *,
    dead: Collection[int],
    distortion: Callable[[LabelArray], float],
) -> Share:
    """Return how many steps each group gives.

    Args:
        analysis: the model.
        settings: how to choose.
        allocation: its name.
        scored: curves and scores of the groups that take part.
        dead: numbers of nodes that leave as wholes.
        distortion: returns how far silencing some atoms takes the outputs.

    Raises:
        NothingToPruneError: nothing can leave.
        TargetError: the target is out of reach.
    """
    method = find_allocation(allocation, samples=True)

    def choose(variant: Settings) -> Share:
        pairs = [(c, make_candidate_of(analysis, variant, c.group, s)) for c, s in scored]
        pairs = [(curve, candidate) for curve, candidate in pairs if candidate.limit]
        if not pairs:
            message = "nothing can be removed under these limits"
            raise NothingToPruneError(message, hint="lower --min-channels or --align")
        candidates = [candidate for _, candidate in pairs]

        def remaining(counts: Sequence[int]) -> float:
            removed = leaving(analysis, candidates, counts)
            return what_remains(analysis, variant, removed, dead)

        context = AllocationContext(
            candidates, remaining, variant.target.goal, distortion,
            lambda: [offer(*pair) for pair in pairs],
        )  # fmt: skip
        counts = solve(candidates, method(context), variant.target, remaining)
        damage = sum(
            curve.at(len(candidate.atoms(count)))
            for (curve, candidate), count in zip(pairs, counts, strict=True)
        )
        return Share(variant, candidates, counts, float(damage))

    return best_variant(
        analysis, settings, [curve.group for curve, _ in scored], choose,
        lambda share: (leaving(analysis, share.candidates, share.counts), share.damage),
    )  # fmt: skip

"""Refit all operators together, once each has been refitted on its own.

Refitted one by one, an operator makes up for what happened before it and knows nothing of what
follows. Together they can do more: weights in front arrange what weights behind need. The squared
errors of all values that operators read are summed up, and this nonlinear least-squares problem is
solved by a few steps of L-BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.4) in which
every operator's gradient is first divided by the moments of its input, as Gauss-Newton steps of
that operator alone would. Errors on held-back samples say when to stop, and what to return to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.recovery.backward import Backward, Gradient
    from onnxprune.recovery.sites import Site

    Array = np.ndarray
    Vector = list[Array]

_PATIENCE = 5
"""Steps without a better held-back error after which the work ends."""

_MEMORY = 6
"""Steps that are remembered."""

_FIRST = 0.2
"""Length of the first step to try, before anything is known of the scale."""

_HALVINGS = 8
"""Shorter steps to try at most."""

_TINY = 1e-12
_RIDGE = 1e-2
"""Share of the mean moment that is added to all moments of an input."""


@dataclass(slots=True)
class Variable:
    """A site's weights as a problem of their own.

    What is solved for are changes of the weights and of the mean output, which do not disturb each
    other.

    Attributes:
        site: the operator.
        kept: features that stay [groups, features].
        weight: weights to start from [groups, features, outputs].
        mean: mean input [groups, features], zeros where the output cannot be shifted.
        vectors: eigenvectors of the input's moments [groups, features, features].
        damp: their values with a ridge.
    """

    site: Site
    kept: Array
    weight: Array
    mean: Array
    vectors: Array
    damp: Array

    @property
    def free(self) -> bool:
        """Whether something can be added to the output."""
        return self.site.bias is not None

    def nothing(self) -> Vector:
        """Return no change."""
        return [np.zeros_like(self.weight), np.zeros_like(self.weight[:, 0])]

    def inwards(self, gradient: Gradient) -> Vector:
        """Return a gradient for what is solved for."""
        centred = gradient.weight - self.mean[:, :, None] * gradient.bias[:, None, :]
        return [centred * self.kept[:, :, None], gradient.bias * np.float32(self.free)]

    def divided(self, vector: Vector) -> Vector:
        """Divide a gradient by the moments of the input."""
        along = self.vectors.transpose(0, 2, 1) @ vector[0]
        weight = self.vectors @ (along / self.damp[:, :, None])
        return [weight * self.kept[:, :, None], vector[1]]

    def outwards(self, change: Vector) -> tuple[Array, Array]:
        """Return the new weights, and what is added to the output."""
        shift = change[1] - np.einsum("gf,gfo->go", self.mean, change[0])
        return self.weight + change[0], shift * np.float32(self.free)


def variable(site: Site, kept: Array, weight: Array, moments: Array) -> Variable:
    """Describe a site.

    Args:
        site: the operator.
        kept: features that stay [groups, features].
        weight: weights to start from.
        moments: mean second moments of its input, the last feature being one.
    """
    groups, features = kept.shape
    mean = moments[:, :-1, -1] if site.bias is not None else np.zeros((groups, features))
    centred = moments[:, :-1, :-1] - mean[:, :, None] * mean[:, None, :]
    centred *= kept[:, :, None] & kept[:, None, :]
    values, vectors = np.linalg.eigh(centred)
    values = np.maximum(values, 0.0)
    least = _RIDGE * values.sum(axis=1) / np.maximum(kept.sum(axis=1), 1) + _TINY
    damp = values + least[:, None]
    found = (a.astype(np.float32) for a in (weight, mean, vectors, damp))
    return Variable(site, kept, *found)


def refit_jointly(  # noqa: C901 - one method with its parts
    network: Backward,
    variables: Sequence[Variable],
    content: Callable[[Sequence[tuple[Array, Array]]], dict[str, Array]],
    *,
    train: Sequence[int],
    held: Sequence[int],
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Array]:
    """Return better content of what varies, nothing where no step is better on held-back samples.

    Args:
        network: the network.
        variables: what varies.
        content: makes the content of parameters from weights and shifts.
        train: batches to fit.
        held: batches that say when to stop.
        rounds: steps at most.
        progress: called with the steps made, and `rounds`.
    """

    def made(change: Vector) -> dict[str, Array]:
        pairs = zip(variables, zip(change[::2], change[1::2], strict=True), strict=True)
        return content([v.outwards([w, b]) for v, (w, b) in pairs])

    def at(change: Vector) -> tuple[float, Vector]:
        error, found = network.gradient(train, made(change))
        gradient: Vector = []
        for v in variables:
            own = found.get(v.site.number)
            gradient += v.nothing() if own is None else v.inwards(own)
        return error, gradient

    def divided(vector: Vector) -> Vector:
        result: Vector = []
        for number, v in enumerate(variables):
            result += v.divided(vector[2 * number : 2 * number + 2])
        return result

    now: Vector = [part for v in variables for part in v.nothing()]
    best: dict[str, Array] = {}
    least = network.error(held, best)
    error, gradient = at(now)
    pairs: list[tuple[Vector, Vector]] = []
    waited = 0
    for number in range(rounds):
        if progress is not None:
            progress(number, rounds)
        direction = _direction(gradient, pairs, divided)
        slope = _dot(gradient, direction)
        if slope >= 0:
            break
        step = 1.0 if pairs else _FIRST
        for _ in range(_HALVINGS):
            tried = [a + np.float32(step) * d for a, d in zip(now, direction, strict=True)]
            new_error, new_gradient = at(tried)
            if new_error < error + 1e-4 * step * slope:
                break
            lowest = -slope * step / (2 * (new_error - error - slope * step))
            step *= min(0.5, max(0.1, lowest))
        else:
            break
        moved = [b - a for a, b in zip(now, tried, strict=True)]
        bent = [b - a for a, b in zip(gradient, new_gradient, strict=True)]
        if _dot(moved, bent) > 0:
            pairs = [*pairs, (moved, bent)][-_MEMORY:]
        now, error, gradient = tried, new_error, new_gradient
        weights = made(now)
        held_error = network.error(held, weights)
        waited += 1
        if held_error < least:
            best, least, waited = weights, held_error, 0
        if waited >= _PATIENCE:
            break
    return best


def _direction(
    gradient: Vector, pairs: Sequence[tuple[Vector, Vector]], divided: Callable[[Vector], Vector]
) -> Vector:
    """Return the L-BFGS direction."""
    q, shares = [a.copy() for a in gradient], []
    for moved, bent in reversed(pairs):
        share = _dot(moved, q) / _dot(moved, bent)
        shares.append(share)
        q = [a - np.float32(share) * b for a, b in zip(q, bent, strict=True)]
    result = divided(q)
    if pairs:
        moved, bent = pairs[-1]
        scale = np.float32(_dot(moved, bent) / _dot(bent, divided(bent)))
        result = [scale * a for a in result]
    for (moved, bent), share in zip(pairs, reversed(shares), strict=True):
        other = np.float32(share - _dot(bent, result) / _dot(moved, bent))
        result = [a + other * b for a, b in zip(result, moved, strict=True)]
    return [-a for a in result]


def _dot(left: Vector, right: Vector) -> float:
    return float(sum(np.vdot(a, b) for a, b in zip(left, right, strict=True)))

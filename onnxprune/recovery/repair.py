"""Repair one operator: new weights on the changed input for the original output."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.clipped import Clip, Samples, refit_clipped
from onnxprune.recovery.moments import Folds, Moments, gather
from onnxprune.recovery.solve import Solution, refit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.recovery.path import Path
    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.stream import TwinStream

    Array = np.ndarray

_SAMPLE_BYTES = 192 << 20
_SAMPLE_FLOPS = 6e8
"""What rows for the turns of a clipped refit may take."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to repair.

    Attributes:
        methods: names of recoveries to choose among, `none` first.
        folds: fold of each batch of samples, none for a fold of its own for each.
        clipped: whether to forgive what clipping activations hide.
    """

    methods: tuple[str, ...] = ("none", "bias", "least-squares")
    folds: tuple[int, ...] = ()
    clipped: bool = True


DEFAULT = Settings()


class Repair:
    """The problem of one site.

    Args:
        site: the operator.
        path: what follows it.
        stream: both networks, at the site.
        settings: how to repair.
    """

    def __init__(self, site: Site, path: Path, stream: TwinStream, settings: Settings) -> None:
        self.site, self.path, self._stream, self._settings = site, path, stream, settings
        self._folds = settings.folds or tuple(range(stream.batches))
        self.folds: list[Moments] = gather(
            site, stream.batches, self._values, self._folds, self._importance
        )

    def _importance(self, batch: int) -> Array | None:
        if self.site.pointwise:
            return None
        return self.path.importance(self._stream, batch, self._stream.original(self.site.y, batch))

    def _values(self, batch: int) -> tuple[Array, Array]:
        if self.site.pointwise:
            key = self.site.x
            return self._stream.changed(key, batch), self._stream.original(key, batch)
        original = self._stream.original(self.site.y, batch)
        return (
            self._stream.changed(self.site.x, batch),
            self.path.target(self._stream, batch, original),
        )

    def solve(
        self, weight: Array, bias: Array, kept: NDArray[np.bool_], alive: NDArray[np.bool_]
    ) -> tuple[Array, Array, Solution]:
        """Return repaired weights, zero where features left, and the bias.

        Args:
            weight: weights as they were [groups, features, outputs].
            bias: bias as it was [groups, outputs].
            kept: features that stay [groups, features].
            alive: outputs that stay [groups, outputs].
        """
        if self.site.pointwise:
            return self._pointwise(weight, bias, kept, alive)
        scale = self._scale(bias.shape)
        new, new_bias = np.where(kept[:, :, None], weight, 0.0), bias.copy()
        if len(weight) > 1:  # every group has features of its own: leave gaps where some left
            felt = scale * alive
            folds = Folds([_blank(f, kept).scaled(felt) for f in self.folds])
            solution = self._best(folds, new * felt[:, None], bias * felt, kept, alive)
            solution = _unscaled(solution, scale)
            return solution.weight * kept[:, :, None], solution.bias, solution
        scale = scale[:, alive[0]]
        folds = Folds([f.part(kept[0]).outputs(alive[0]).scaled(scale) for f in self.folds])
        small = weight[:, kept[0]][:, :, alive[0]]
        solution = self._best(folds, small * scale, bias[:, alive[0]] * scale, kept, alive)
        solution = _unscaled(solution, scale)
        new[0][np.ix_(kept[0], alive[0])] = solution.weight[0]
        new_bias[:, alive[0]] = solution.bias
        return new, new_bias, solution

    def _pointwise(
        self, weight: Array, bias: Array, kept: NDArray[np.bool_], alive: NDArray[np.bool_]
    ) -> tuple[Array, Array, Solution]:
        """Fit the original's input by the changed one and put the map into the weight."""
        kernel = self.site.rows.kernel
        stays = kept[0, ::kernel]
        taps = weight[0].reshape(len(stays), kernel, -1)
        norms = np.sqrt(np.square(taps[:, :, alive[0]]).sum(axis=(1, 2)))[None] + 1e-30
        folds = Folds([f.part(stays).scaled(norms) for f in self.folds])
        same = np.eye(len(stays))[None, stays] * norms[:, None]
        solution = refit(
            folds, same, np.zeros((1, len(stays))), free=self.site.bias is not None,
            methods=self._settings.methods,
        )  # fmt: skip
        solution = _unscaled(solution, norms)
        new = np.zeros_like(taps)
        new[stays] = np.einsum("ac,cko->ako", solution.weight[0], taps)
        shift = np.einsum("c,cko->o", solution.bias[0], taps)
        return new.reshape(weight.shape), bias + shift, solution

    def _scale(self, shape: tuple[int, ...]) -> Array:
        """Return what outputs are multiplied with later, so that errors count as they are felt."""
        scale = self.path.scale
        least = 1e-3 * np.abs(scale).max() + 1e-30
        sign = np.where(scale < 0, -1.0, 1.0)
        return np.asarray(sign * np.maximum(np.abs(scale), least)).reshape(shape)

    def _best(
        self,
        folds: Folds,
        weight: Array,
        bias: Array,
        kept: NDArray[np.bool_],
        alive: NDArray[np.bool_],
    ) -> Solution:
        free = self.site.bias is not None
        solution = refit(folds, weight, bias, free=free, methods=self._settings.methods)
        clips = self.path.clips and self._settings.clipped and bool(folds.others)
        if solution.method != "least-squares" or not clips:
            return solution
        samples = self._samples(kept, alive)
        clip = Clip(self.path.low, self.path.high)
        return refit_clipped(solution, folds, samples, clip, weight, bias, free=free)

    def _samples(self, kept: NDArray[np.bool_], alive: NDArray[np.bool_]) -> Samples:
        site, stream = self.site, self._stream
        single = len(kept) == 1  # what left is left out, in several groups it is zero
        x, y = self._values(0)
        count = site.rows.rows(x, y) * stream.batches
        groups, features = kept.shape
        outputs = self.path.scale.size // groups
        row = groups * (features + 2 * outputs) * 4
        flops = groups * features * outputs
        most = max(6 * features, min(_SAMPLE_BYTES // row, int(_SAMPLE_FLOPS / flops)))
        step = site.rows.step(-(-count // most), x, y)
        inputs: list[Array] = []
        goals: list[Array] = []
        extras: list[Array] = []
        folds: list[Array] = []
        for batch in range(stream.batches):
            x, target = self._values(batch)
            offset = self.path.offset(stream, batch, target)
            rank = target.ndim
            wanted = target * self.path.per_channel(self.path.scale, rank).astype(target.dtype)
            pairs = zip(
                site.rows.blocks(x, np.asarray(wanted + offset), step),
                site.rows.blocks(x, offset, step), strict=True,
            )  # fmt: skip
            for (rows, goal), (_, extra) in pairs:
                ones = np.ones((*rows.shape[:2], 1), np.float32)
                seen = rows[:, :, kept[0]] if single else rows * kept[:, None, :]
                inputs.append(np.concatenate([seen, ones], axis=2).astype(np.float32, copy=False))
                for part, values in ((goals, goal), (extras, extra)):
                    felt = values[:, :, alive[0]] if single else values * alive[:, None, :]
                    part.append(felt.astype(np.float32, copy=False))
                folds.append(np.full(rows.shape[1], self._folds[batch]))
        return Samples(_joined(inputs), _joined(goals), _joined(extras), np.concatenate(folds))


def _joined(parts: list[Array]) -> Array:
    """Put parts together along the rows, and let go of them."""
    whole = np.concatenate(parts, axis=1)
    parts.clear()
    return whole


def _unscaled(solution: Solution, scale: Array) -> Solution:
    return replace(solution, weight=solution.weight / scale[:, None], bias=solution.bias / scale)


def _blank(moments: Moments, kept: NDArray[np.bool_]) -> Moments:
    """Zero features that left."""
    flags = np.concatenate([kept, np.ones((len(kept), 1), bool)], axis=1)
    return Moments(
        moments.gram * (flags[:, :, None] & flags[:, None, :]),
        moments.cross * flags[:, :, None],
        moments.energy,
    )

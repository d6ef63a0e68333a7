"""Let an operator on a branch make up for errors of the stream that its branch is added to.

Where a branch ends in `stream + branch(stream)`, the sum is what the following layers see. The
target of the branch's last operator is therefore what is missing from the changed stream to the
original sum, rather than the original branch alone (Park et al., Accurate Retraining-free Pruning
for Pretrained Encoder-based Language Models, arXiv 2308.03449). What rows count for in front of a
layer normalisation is our own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.unfold import Product

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.stream import TwinStream

    Array = np.ndarray

_TINY = 1e-3
"""A channel scaled down below this share of the largest scale is left alone."""

_NORMALISATIONS = ("LayerNormalization", "RMSNormalization")

_LONGEST = 5
"""Operators to follow at most."""


@dataclass(frozen=True, slots=True)
class Path:
    """What happens to a site's output before it meets something else.

    Attributes:
        axis: axis of the channels in the output.
        scale: what the channels are multiplied with.
        shift: what is added to them then.
        partner: key of a value that is added and known before the site runs, "" for none.
        low: a clipping activation follows that hides everything below this.
        high: the same above this.
        normalised: every row is then divided by its own deviation.
    """

    axis: int
    scale: Array
    shift: Array
    partner: str = ""
    low: float = -np.inf
    high: float = np.inf
    normalised: bool = False

    def per_channel(self, vector: Array, rank: int) -> Array:
        """Return a vector in the shape that broadcasts over the output."""
        shape = [1] * rank
        shape[self.axis] = -1
        return vector.reshape(shape)

    def inverse(self) -> Array:
        """Return one over the scale, zero where it is next to nothing."""
        usable = np.abs(self.scale) > _TINY * np.abs(self.scale).max()
        return np.asarray(np.where(usable, 1.0 / np.where(usable, self.scale, 1.0), 0.0))

    def target(self, stream: TwinStream, batch: int, original: Array) -> Array:
        """Return what the site should make so that the sum behind it is the original one."""
        if not self.partner or not stream.differs(self.partner):
            return original
        missing = stream.original(self.partner, batch) - stream.changed(self.partner, batch)
        if missing.shape != original.shape:
            return original
        factor = self.per_channel(self.inverse(), original.ndim)
        return np.asarray(original + missing * factor.astype(original.dtype))

    def offset(self, stream: TwinStream, batch: int, like: Array) -> Array:
        """Return what is added to the scaled output on its way to the activation."""
        offset = self.per_channel(self.shift, like.ndim).astype(like.dtype)
        if self.partner:
            other = stream.changed(self.partner, batch)
            if other.shape == like.shape:
                return np.asarray(offset + other)
        return np.broadcast_to(offset, like.shape)

    def importance(self, stream: TwinStream, batch: int, original: Array) -> Array | None:
        """Return a factor on the squared error of every row, None for ones.

        A layer normalisation divides a row by its deviation, and the row's error with it. Without
        these factors a few tokens of a hundred times the energy of others decide every fit.
        """
        if not self.normalised:
            return None
        rank = original.ndim
        total = original * self.per_channel(self.scale, rank) + self.per_channel(self.shift, rank)
        if self.partner:
            total = total + stream.original(self.partner, batch)
        return np.asarray(1.0 / (total.var(axis=self.axis) + _TINY**2)).reshape(-1)

    @property
    def clips(self) -> bool:
        """Whether a clipping activation follows."""
        return bool(np.isfinite(self.low) or np.isfinite(self.high))


def find_path(  # noqa: C901, PLR0912 - one case per operator
    deps: Dependencies,
    site: Site,
    readers: Mapping[str, list[Node]],
    read: Callable[[str], Array],
) -> Path:
    """Follow a site's output through what acts on each channel alone."""
    made_by = {o: n.index for n in deps.graph.nodes for o in n.outputs if o}
    key = site.y
    shape = deps.ctx.shape(key) or ()
    axis = site.rows.outer % len(shape) if isinstance(site.rows, Product) else 1
    path = Path(axis, np.ones(shape[axis]), np.zeros(shape[axis]))
    for _ in range(_LONGEST):
        after = readers.get(key, [])
        if _normalised(deps, after, key, path.axis):
            return replace(path, normalised=True)
        if len(after) != 1 or after[0].domain or key in deps.graph.outputs:
            return path
        node = after[0]
        other = next((k for k in node.inputs if k != key), "")
        match node.op:
            case "BatchNormalization" if node.inputs[0] == key and not path.partner:
                if any(k not in deps.graph.parameters for k in node.inputs[1:]):
                    return path
                gamma, beta, mean, var = (read(k).astype(np.float64) for k in node.inputs[1:5])
                scale = gamma / np.sqrt(var + float(node.attribute("epsilon", 1e-5)))
                path = replace(
                    path, scale=path.scale * scale, shift=(path.shift - mean) * scale + beta
                )
            case "Add" if other in deps.graph.parameters and not path.partner:
                vector = read(other)
                same = deps.ctx.shape(node.outputs[0]) == shape
                if vector.size not in (1, len(path.scale)) or not same:
                    return path
                place = len(shape) - vector.ndim + int(np.argmax(vector.shape or (1,)))
                if vector.size > 1 and place != path.axis:
                    return path
                path = replace(path, shift=path.shift + vector.astype(np.float64).reshape(-1))
            case "Add" if other and other not in deps.ctx.constants and not path.partner:
                early = made_by.get(other, -1) < site.number
                if not early or deps.ctx.shape(other) != shape:
                    return path
                path = replace(path, partner=other)
            case "Relu":
                return replace(path, low=0.0)
            case "Clip":
                low, high = clip_bounds(deps, node, read)
                return replace(path, low=low, high=high)
            case "Identity":
                pass
            case _:
                return path
        key = node.outputs[0]
    return path


def _normalised(deps: Dependencies, after: Sequence[Node], key: str, axis: int) -> bool:
    """Tell whether some reader divides by the deviation over the channels, in one node or many."""
    shape = deps.ctx.shape(key) or ()
    means = tuple(1 if a == axis else s for a, s in enumerate(shape))
    for node in after:
        if node.op in _NORMALISATIONS and node.inputs[0] == key:
            first = int(node.attribute("axis", -1)) % len(shape)
            return first == axis == len(shape) - 1
        taken = node.op == "ReduceMean" and deps.ctx.shape(node.outputs[0]) == means
        if taken and any(n.op == "Sub" and node.outputs[0] in n.inputs for n in after):
            return True
    return False


def clip_bounds(
    deps: Dependencies, node: Node, read: Callable[[str], Array]
) -> tuple[float, float]:
    """Return the bounds of a Clip, infinite where they are absent or computed."""
    bounds = []
    for position, name, default in ((1, "min", -np.inf), (2, "max", np.inf)):
        key = node.input(position)
        if key:
            known = key in deps.graph.parameters
            bounds.append(float(read(key).item()) if known else default)
        else:
            bounds.append(float(node.attribute(name, default)))
    return bounds[0], bounds[1]

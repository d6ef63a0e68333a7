"""Let an operator on a branch make up for errors of the stream that its branch is added to.

Where a branch ends in `stream + branch(stream)`, the sum is what the following layers see. The
target of the branch's last operator is therefore what is missing from the changed stream to the
original sum, rather than the original branch alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.stream import TwinStream

    Array = np.ndarray

_TINY = 1e-3
"""A channel scaled down below this share of the largest scale is left alone."""


@dataclass(frozen=True, slots=True)
class Partner:
    """What a site's output is added to.

    Attributes:
        key: the other operand of the addition.
        scale: what the site's output channels are multiplied with on their way.
        axis: axis of the channels in the output.
    """

    key: str
    scale: Array
    axis: int

    def correct(self, stream: TwinStream, batch: int, target: Array) -> Array:
        """Return the target of the site, given the original output."""
        if not stream.differs(self.key):
            return target
        missing = stream.original(self.key, batch) - stream.changed(self.key, batch)
        if missing.shape != target.shape:
            return target
        usable = np.abs(self.scale) > _TINY * np.abs(self.scale).max()
        factor = np.where(usable, 1.0 / np.where(usable, self.scale, 1.0), 0.0)
        shape = [1] * target.ndim
        shape[self.axis] = -1
        return target + missing * factor.reshape(shape).astype(target.dtype)


def find_partner(
    deps: Dependencies,
    site: Site,
    readers: Mapping[str, list[Node]],
    read: Callable[[str], Array],
) -> Partner | None:
    """Follow a site's output to an addition with a value that is known before the site runs."""
    made_by = {o: n.index for n in deps.graph.nodes for o in n.outputs if o}
    key = site.y
    shape = deps.ctx.shape(key) or ()
    axis = site.rows.outer % len(shape) if hasattr(site.rows, "outer") else 1
    scale = np.ones(shape[axis])
    for _ in range(4):
        after = readers.get(key, [])
        if len(after) != 1 or after[0].domain or key in deps.graph.outputs:
            return None
        node = after[0]
        if node.op == "BatchNormalization" and node.inputs[0] == key:
            if any(k not in deps.graph.parameters for k in node.inputs[1:]):
                return None
            gamma, _, _, var = (read(k).astype(np.float64) for k in node.inputs[1:5])
            scale = scale * gamma / np.sqrt(var + float(node.attribute("epsilon", 1e-5)))
        elif node.op == "Add":
            other = next((k for k in node.inputs if k != key), "")
            if not other:
                return None
            if other not in deps.ctx.constants:
                early = made_by.get(other, -1) < site.number
                same = deps.ctx.shape(other) == shape
                return Partner(other, scale, axis) if early and same else None
        elif node.op != "Identity":
            return None
        key = node.outputs[0]
    return None

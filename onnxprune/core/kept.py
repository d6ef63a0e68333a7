"""What the input of an operator keeps of its channels when labels are removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.labelling import Contraction


def kept_at(
    deps: Dependencies, contraction: Contraction, removed: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """Return what stays of a contraction's input, None when that is everything.

    The flags have the rank of the input, and size 1 along axes on which they do not depend.

    Args:
        deps: the analysis.
        contraction: an input that a node sums over.
        removed: one flag per label.
    """
    key = contraction.node.inputs[contraction.position]
    shape = deps.ctx.shape(key) or ()
    keep: NDArray[np.bool_] | None = None
    for factor in deps.ctx.factors_of.get(key, ()):
        flags = removed[factor.labels]
        if not flags.any() or not set(factor.axes) & set(contraction.axes):
            continue
        order = np.argsort(factor.axes)
        sizes = [s if a in factor.axes else 1 for a, s in enumerate(shape)]
        part = ~flags.transpose(order).reshape(sizes)
        keep = part if keep is None else keep & part
    return keep

"""The masked original: what a pruned model has to equal.

Every operator that sums over an axis which loses indices gets its input multiplied by zero there.
This is the original with the removed slices of the consumers set to zero, without touching weights.
It does not depend on how labels were propagated from producers, only on where they are consumed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from onnxprune.core.kept import kept_at
from onnxprune.rewrite.surgeon import Surgeon

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from onnxprune.core.branches import Branch
    from onnxprune.core.dependencies import Dependencies


def masked_model(
    proto: onnx.ModelProto,
    deps: Dependencies,
    removed: NDArray[np.bool_],
    branches: Iterable[Branch] = (),
) -> onnx.ModelProto:
    """Return a copy of a model in which consumers see zero wherever labels are removed.

    Args:
        proto: the analysed model, weights as stubs.
        deps: its analysis.
        removed: one flag per label.
        branches: residual branches whose output is zero.
    """
    surgeon = Surgeon(proto)
    surgeon.index(deps.graph)
    for contraction in deps.ctx.contractions:
        keep = kept_at(deps, contraction, removed)
        if keep is None:
            continue
        node, position = contraction.node, contraction.position
        key = node.inputs[position]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(deps.settings[0].dtypes[key])
        repeated = _repeated(deps, key, keep)
        if contraction.zero is None and repeated is not None:
            surgeon.mask_operand(node, position, repeated[0].astype(dtype), repeated[1])
        elif contraction.zero is None:
            surgeon.compute_operand(node, position, [("Mul", [None, keep.astype(dtype)])])
        else:
            sizes = deps.ctx.shape(node.input(contraction.zero)) or ()
            along = dict(zip(contraction.zero_axes, sizes, strict=False))
            shape = [along.get(a, 1) for a in range(keep.ndim)] if along else None
            surgeon.select_operand(node, position, keep, contraction.zero, dtype, shape)
    for branch in branches:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(deps.settings[0].dtypes[branch.value])
        nothing = np.zeros((), dtype)
        surgeon.compute_operand(branch.node, branch.position, [("Mul", [None, nothing])])
    return surgeon.export()


def _repeated(
    deps: Dependencies, key: str, keep: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], int] | None:
    """Return one period of a mask and its axis where it repeats along one of varying size.

    Heads that are merged into a batch of any size make such masks.
    """
    varying = [a for a, n in enumerate(keep.shape) if n > 1 and deps.settings[0].is_dynamic(key, a)]
    if len(varying) != 1:
        return None
    [axis] = varying
    rows = np.moveaxis(keep, axis, 0)
    for period in (p for p in range(1, len(rows)) if len(rows) % p == 0):
        if (rows.reshape(-1, period, *rows.shape[1:]) == rows[:period]).all():
            return np.moveaxis(rows[:period], 0, axis), axis
    return None

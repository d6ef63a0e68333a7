"""What rules may do with labels: move them, align them, contract them, freeze them.

A `LabelContext` holds the labels of every value during one run over the graph. Rules read factors,
combine them with the operations below and set the factors of outputs. Nothing else: they never see
weights and never edit the graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.labelling import Contraction, Labelling
from onnxprune.core.labels import Factor, reshape_factor

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors


@dataclass(frozen=True, slots=True)
class Operand:
    """A value seen in the axes of a common index space.

    Attributes:
        factors: factors over common axes.
        sizes: size of each common axis that the value has; 1 or absent means it broadcasts.
        key: key of the value, for reasons.
    """

    factors: Factors
    sizes: Mapping[int, int]
    key: str

    def solid(self, axis: int) -> bool:
        """Tell whether the value extends along a common axis instead of broadcasting."""
        return self.sizes.get(axis, 1) > 1


class LabelContext(Labelling):
    """What rules see: labels, and the operations that carry them through operators."""

    # ---- moving --------------------------------------------------------------------------------

    def reshape(
        self, factors: Iterable[Factor], before: Sequence[int], after: Sequence[int]
    ) -> Factors:
        """Carry factors through a reshape."""
        if 0 in before or 0 in after or np.prod(before) != np.prod(after):
            self.freeze(factors, "reshape of an empty value")
            return ()
        kept: list[Factor] = []
        for factor in factors:
            moved = reshape_factor(
                factor, before, after, flatten=lambda f: self.collapse(f, f.axes[-1:])
            )
            if moved is None:
                self.freeze([factor], "the label array grows too large in a reshape")
                continue
            result = self.tidy(*moved, factor.level, "a reshape leaves a single index")
            if result is not None:
                if len(result.axes) > 1:
                    self.balances.setdefault(id(result.labels), result)
                kept.append(result)
        return self.unique(kept)

    def permute(self, factors: Iterable[Factor], order: Sequence[int]) -> Factors:
        """Carry factors through a transposition (`order` as in Transpose's perm)."""
        return tuple(f.rename(order.index(a) for a in f.axes) for f in factors)

    def take(self, factors: Iterable[Factor], axis: int, indices: np.ndarray) -> Factors:
        """Carry factors through a selection of indices along one axis.

        Where one index of every row is selected, rows cannot lose it: nothing would close up.
        """
        kept = []
        for factor in factors:
            if axis not in factor.axes:
                kept.append(factor)
                continue
            labels = factor.labels.take(indices, factor.axes.index(axis))
            result = self.tidy(factor.axes, labels, factor.level, "a single index is selected")
            if result is not None and axis == factor.axes[-1] and axis not in result.axes:
                self.freeze([result], "a single index of every row is selected")
            elif result is not None:
                kept.append(result)
        return tuple(kept)

    def shift(self, factors: Iterable[Factor], names: Mapping[int, int]) -> Factors:
        """Rename axes; factors over axes without a name are frozen."""
        kept = []
        for factor in factors:
            if all(a in names for a in factor.axes):
                kept.append(factor.rename(names[a] for a in factor.axes))
            else:
                self.freeze([factor], "the axis disappears")
        return tuple(kept)

    def concatenate(
        self, parts: Sequence[tuple[Factors, int]], axis: int, shape: Sequence[int], key: str
    ) -> Factors:
        """Join values along one axis; their other axes are aligned first.

        Args:
            parts: factors of each value and its size along `axis`.
            axis: the axis.
            shape: shape of the result.
            key: key of the result.
        """
        apart = [tuple(f for f in fs if axis not in f.axes) for fs, _ in parts]
        sizes = {a: s for a, s in enumerate(shape) if a != axis}
        kept = list(self.align([Operand(fs, sizes, key) for fs in apart]))
        for level in (0, 1):
            along = [[f for f in fs if axis in f.axes and f.level == level] for fs, _ in parts]
            for fs in along:
                self.freeze(fs[1:], "several label arrays along a joined axis")
            along = [fs[:1] for fs in along]
            if not any(along):
                continue
            orders = {f.axes for fs in along for f in fs if len(f.axes) > 1}
            order = orders.pop() if len(orders) == 1 else (axis,)
            pieces = []
            for fs, (_, size) in zip(along, parts, strict=True):
                dims = [size if a == axis else shape[a] for a in order]
                piece = np.zeros(dims, np.int64)
                for f in fs:
                    fitting = f if set(f.axes) <= set(order) else self.collapse(f, (axis,))
                    piece = fitting.over(order, dims)
                pieces.append(piece)
            joined = np.concatenate(pieces, order.index(axis))
            result = self.tidy(order, joined, level, "a single index is joined")
            if result is not None:
                kept.append(result)
        return tuple(kept)

    # ---- aligning ------------------------------------------------------------------------------

    def align(self, operands: Sequence[Operand]) -> Factors:
        """Unite the labels of values that meet position by position, with broadcasting.

        Returns:
            Factors over the common axes.
        """
        result = operands[0]
        for operand in operands[1:]:
            left, right = self._fit(result, operand), self._fit(operand, result)
            sizes = dict(result.sizes)
            for axis, size in operand.sizes.items():
                sizes[axis] = max(size, sizes.get(axis, 1))
            result = Operand(self._pair(left, right), sizes, result.key)
        return result.factors

    def _fit(self, operand: Operand, other: Operand) -> Operand:
        """Reduce several-axes factors of `operand` to what can be paired with `other`."""
        kept: list[Factor] = []
        single = {f.axes[0] for f in operand.factors if len(f.axes) == 1}
        for factor in operand.factors:
            met = [a for a in factor.axes if other.solid(a)]
            if len(factor.axes) == 1 or not met:
                kept.append(factor)
                continue
            if any(f.axes == factor.axes for f in other.factors):
                kept.append(factor)
                continue
            self.structure(factor, factor.axes[:-1])
            last = factor.axes[-1]
            partners = [f.axes[0] for f in other.factors if len(f.axes) == 1 and f.axes[0] in met]
            overlapping = [
                f
                for f in other.factors
                if len(f.axes) > 1 and f.level == factor.level and set(f.axes) & set(factor.axes)
            ]
            if last in met and last in partners:
                kept.append(self.collapse(factor, (last,)))
            elif last not in met:
                wanted = [a for a in partners if a not in single]
                kept.append(self.collapse(factor, wanted) if wanted else factor)
            elif overlapping:
                shared = [a for a in factor.axes if all(a in f.axes for f in overlapping)]
                kept.append(self.collapse(factor, (shared or [last])[-1:]))
            else:
                rows = tuple(a for a in partners if a not in single)
                if rows:
                    kept.append(self.collapse(factor, rows))
                else:
                    reason = f"meets {other.key or 'a value'} without labels on this axis"
                    kept += self.release([factor], met, reason, beside=operand.factors)
        return Operand(tuple(kept), operand.sizes, operand.key)

    def _pair(self, left: Operand, right: Operand) -> Factors:
        kept: list[Factor] = []
        spaces = dict.fromkeys(f.axes for f in (*left.factors, *right.factors))
        for axes in spaces:
            a = [f for f in left.factors if f.axes == axes]
            b = [f for f in right.factors if f.axes == axes]
            if not a or not b:
                mine, other = (a, right) if a else (b, left)
                if other.solid(axes[-1]):
                    self.freeze(mine, f"meets {other.key or 'a value'} that keeps this axis whole")
                else:
                    kept.extend(mine)
                continue
            pairs = [(f, g) for f in a for g in b if f.level == g.level]
            lone_a = [f for f in a if all(f is not p[0] for p in pairs)]
            lone_b = [g for g in b if all(g is not p[1] for p in pairs)]
            pairs += list(zip(lone_a, lone_b, strict=False))
            for f, g in pairs:
                self.unite(f.labels, g.labels, link=f.level == g.level == 0)
                kept.append(f if f.level >= g.level else g)
            rest = lone_a[len(lone_b) :] + lone_b[len(lone_a) :]
            self.ask_rows(lone_a[len(lone_b) :], b)
            self.ask_rows(lone_b[len(lone_a) :], a)
            self.freeze(rest, "the partner cannot leave row by row")
        return tuple(kept)

    # ---- contracting ---------------------------------------------------------------------------

    def contract(self, operands: Sequence[Operand], axes: Collection[int]) -> Factors:
        """Align operands, then sum over some of the common axes.

        A factor over the summed axes is consumed. One that closes up along a summed axis leaves its
        rows to the row factor; one that only has rows there is united along them.
        """
        for operand in operands:
            if operand.key in self.constants:
                self.consumed += [
                    f.labels.ravel() for f in operand.factors if set(f.axes) & set(axes)
                ]
        kept = []
        for factor in self.align(operands):
            rest = tuple(a for a in factor.axes if a not in axes)
            if len(rest) == len(factor.axes):
                kept.append(factor)
            elif rest and factor.axes[-1] in axes:
                self.structure(factor, rest)
                if factor.level:
                    kept.append(self.collapse(factor, rest))
            elif rest:
                kept.append(self.collapse(factor, rest))
        return tuple(kept)

    def consumes(
        self,
        node: Node,
        position: int,
        axes: Iterable[int],
        *,
        zero: int | None = None,
        per_group: int | None = None,
        zero_axes: tuple[int, ...] = (),
    ) -> None:
        """Note that a node sums over axes of one of its inputs; see `Contraction`."""
        noted = Contraction(node, position, tuple(axes), zero, per_group, zero_axes)
        self.contractions.append(noted)

    def opaque(self, node: Node, reason: str) -> None:
        """Freeze everything that goes into a node; its outputs carry no labels."""
        for key in node.inputs:
            if key:
                self.freeze(self.factors(key), reason, value=key)
        for key in node.outputs:
            self.set(key, ())

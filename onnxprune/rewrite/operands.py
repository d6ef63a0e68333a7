"""Keep every number that comes from a shape right after a cut.

Shapes computed in the graph follow the new sizes by themselves. Where such a number is written into
a constant, or reaches arithmetic (the 1/sqrt(d) of attention), it has to be corrected: shape
operands follow the cut, arithmetic keeps its old value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.core.evaluate import evaluate
from onnxprune.core.registry import UPDATES
from onnxprune.core.shapes import symbols
from onnxprune.errors import PlanMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from onnxprune.core.cuts import Change, Cuts
    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.rewrite.surgeon import Surgeon

Values = list[dict[str, np.ndarray]]

_WHERE_OPSET = 9


class OperandRepair:
    """Walk the nodes in order, re-evaluate shape arithmetic and correct what went wrong.

    Args:
        deps: the analysis.
        cuts: sizes after the cut, one per probe setting.
        surgeon: the graph to edit.
    """

    def __init__(self, deps: Dependencies, cuts: Sequence[Cuts], surgeon: Surgeon) -> None:
        self._deps = deps
        self._cuts = cuts
        self._surgeon = surgeon
        self._symbolic = bool(symbols(deps.graph))
        self._old: Values = [s.known for s in deps.settings]
        self._new: Values = [
            {k: v for k, v in old.items() if k in deps.ctx.parameters} for old in self._old
        ]

    def labelled(self, key: str) -> bool:
        """Tell whether a value loses indices (its content is not shape arithmetic then)."""
        shape = self._cuts[0].old_shape(key)
        return any(self._cuts[0].is_cut(key, a) for a in range(len(shape)))

    def run(self, node: Node) -> Change | None:
        """Correct the operands of a node; returns what else the cut changes in it."""
        if self._evaluate(node):
            return None
        update = UPDATES.lookup(node.op, node.domain, node.since)
        changes: list[Change | None] = [None] * len(self._cuts)
        if update is not None and any(self.labelled(k) for k in (*node.inputs, *node.outputs) if k):
            changes = [update(cuts, node) for cuts in self._cuts]
        change = changes[0]
        if change is not None and change.failure:
            message = f"{node.where} {change.failure}"
            raise PlanMismatchError(message)
        for position in range(self._positions(node, change)):
            self._correct(node, position, changes)
        return change

    def _positions(self, node: Node, change: Change | None) -> int:
        wanted = max(change.operands, default=-1) + 1 if change is not None else 0
        return max(len(node.inputs), wanted)

    def _evaluate(self, node: Node) -> bool:
        """Evaluate shape arithmetic with the new sizes; False for everything else."""
        if node.bodies or not node.outputs or node.domain:
            return False
        key = node.outputs[0]
        if any(o and o not in old for o in node.outputs for old in self._old):
            return False
        if node.op not in ("Shape", "Size") and any(
            self.labelled(k) for k in (*node.inputs, *node.outputs) if k
        ):
            return False  # small weights, not shapes
        for cuts, new in zip(self._cuts, self._new, strict=True):
            if node.op in ("Shape", "Size"):
                shape = np.array(cuts.shape(node.inputs[0]), np.int64)
                start, end = node.attribute("start", 0), node.attribute("end")
                new[key] = shape[start:end] if node.op == "Shape" else np.array(shape.prod())
                continue
            inputs = [new.get(i) if i else None for i in node.inputs]
            if any(v is None and i for v, i in zip(inputs, node.inputs, strict=True)):
                return False
            values = evaluate(node, inputs)
            if values is None:
                return False
            new.update(zip(node.outputs, values, strict=True))
        return True

    def _correct(self, node: Node, position: int, changes: Sequence[Change | None]) -> None:
        key = node.input(position)
        wanted: list[np.ndarray] = []
        for change, old in zip(changes, self._old, strict=True):
            if change is not None and position in change.operands:
                like = old.get(key)
                dtype = np.int64 if like is None else like.dtype
                wanted.append(np.asarray(change.operands[position], dtype))
            elif key in old and not self.labelled(key):
                wanted.append(old[key])
            else:
                return
        actual = [new.get(key) for new in self._new]
        if all(a is not None and np.array_equal(a, w) for a, w in zip(actual, wanted, strict=True)):
            return
        if key in self._deps.ctx.parameters or not key or self._fixed(wanted, key):
            self._surgeon.set_operand(node, position, wanted[0])
            return
        self._compute(node, position, actual, wanted)

    def _fixed(self, wanted: list[np.ndarray], key: str) -> bool:
        """Tell whether an operand is the same at every size, so that it can be a constant."""
        if len(self._old) == 1 and self._symbolic:
            return False
        values = [old.get(key) for old in self._old]
        return all(
            v is not None
            and np.array_equal(v, np.asarray(values[0]))
            and np.array_equal(w, wanted[0])
            for v, w in zip(values, wanted, strict=True)
        )

    def _compute(
        self,
        node: Node,
        position: int,
        actual: Sequence[np.ndarray | None],
        wanted: list[np.ndarray],
    ) -> None:
        """Correct an operand whose content depends on symbolic dimensions."""
        if any(a is None or a.shape != w.shape for a, w in zip(actual, wanted, strict=True)):
            raise _cannot_follow(node, position)
        now = [a for a in actual if a is not None]
        differs = np.any([a != w for a, w in zip(now, wanted, strict=True)], axis=0)
        fixed = differs & np.all([w == wanted[0] for w in wanted], axis=0)
        scaled = differs & ~fixed
        steps: list[tuple[str, list[np.ndarray | None]]] = []
        if scaled.any():
            up, down = np.ones_like(now[0]), np.ones_like(now[0])
            common = np.gcd(now[0], wanted[0])
            up[scaled], down[scaled] = (wanted[0] // common)[scaled], (now[0] // common)[scaled]
            if any((a[scaled] * up[scaled] != w[scaled] * down[scaled]).any() for a, w in
                   zip(now, wanted, strict=True)):  # fmt: skip
                raise _cannot_follow(node, position)
            steps += [("Mul", [None, up]), ("Div", [None, down])]
        if fixed.any():
            if node.opset >= _WHERE_OPSET:
                steps.append(("Where", [fixed, wanted[0], None]))
            else:
                keep = (~fixed).astype(now[0].dtype)
                steps += [("Mul", [None, keep]), ("Add", [None, wanted[0] * (1 - keep)])]
        self._surgeon.compute_operand(node, position, steps)

    def check_outputs(self) -> None:
        """Refuse a cut that would change a shape that the graph returns as a result."""
        for key in self._deps.graph.outputs:
            for old, new in zip(self._old, self._new, strict=True):
                if key in old and not np.array_equal(old[key], new.get(key, old[key])):
                    message = f"graph output '{key}' would change: it is computed from a shape"
                    raise PlanMismatchError(message)


def _cannot_follow(node: Node, position: int) -> PlanMismatchError:
    return PlanMismatchError(f"{node.where}: input {position} cannot follow the cut")

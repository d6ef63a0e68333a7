"""Ways to label a case: what is a weight, what comes from elsewhere, and with which labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
from onnx import TensorProto

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from onnxprune.testing.node_cases import NodeCase

_OPERAND_TYPES = (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.bool_))
_UNFED = frozenset(
    {TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2,
     TensorProto.FLOAT4E2M1}
)  # fmt: skip


@dataclass(frozen=True)
class Style:
    """Unusual labels of an input, as operators further up may have made them.

    Attributes:
        kind: `pair`, two axes with labels of their own for each row; `rows`, a pair whose rows may
            also leave as wholes; `mixed`, labels that repeat along an axis, or stay.
        axes: the two axes of a pair, rows first.
    """

    kind: Literal["pair", "rows", "mixed"]
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One way to label a case.

    Attributes:
        case: operator, inputs and attributes.
        constants: inputs that are weights or known operands.
        styles: inputs with unusual labels.
        seed: seed of the choice of labels.
        approximate: whether labels that change a normalisation may leave; only shapes count then.
    """

    case: NodeCase
    constants: frozenset[str] = frozenset()
    styles: Mapping[str, Style] = field(default_factory=dict)
    seed: int = 0
    approximate: bool = False

    def __str__(self) -> str:
        styles = "".join(f", {n}: {s.kind} {s.axes}" for n, s in sorted(self.styles.items()))
        return f"{self.case.name} (constant: {sorted(self.constants)}{styles}, seed {self.seed})"


def trials(case: NodeCase, *, count: int, seed: int = 0) -> Iterable[Trial]:
    """Yield different ways to label a case, some plain, some with unusual labels.

    The first one makes weights and operands of all but the first input; the second of operands
    alone; the others draw. Every fourth removes what leaves only approximately as well.
    """
    operands = operand_inputs(case)
    forced = unfed_inputs(case)
    yield Trial(
        case, frozenset({*operands, *forced, *list(case.inputs)[1:]}) & plain(case), {}, seed
    )
    for number in range(1, count):
        rng = np.random.default_rng((seed, number))
        chosen = {n for n in case.inputs if rng.random() < (0.7 if n in operands else 0.3)}
        if number == 1:
            chosen = set(operands)
        styles = {}
        for name in sorted(plain(case) - chosen) if number > 1 else ():
            style = _draw_style(np.ndim(case.inputs[name]), rng)  # type: ignore[arg-type]
            if style is not None:
                styles[name] = style
        constants = frozenset(chosen | forced) & plain(case)
        yield Trial(case, constants, styles, seed + number, approximate=number % 4 == 3)


def _draw_style(rank: int, rng: np.random.Generator) -> Style | None:
    kind = rng.choice(["plain", "pair", "rows", "mixed"])
    if kind == "mixed":
        return Style("mixed")
    if kind == "plain" or rank < 2:
        return None
    first, second = rng.permutation(rank)[:2].tolist()
    return Style("pair" if kind == "pair" else "rows", (first, second))


def operand_inputs(case: NodeCase) -> frozenset[str]:
    """Return the inputs that can only hold shapes, indices or flags."""
    try:
        schema = onnx.defs.get_schema(case.node.op_type, case.opset, case.node.domain)
    except onnx.defs.SchemaError:  # of another domain: lengths, positions, flags
        return frozenset(
            n for n in plain(case) if np.asarray(case.inputs[n]).dtype in _OPERAND_TYPES
        )
    types = {c.type_param_str: c.allowed_type_strs for c in schema.type_constraints}
    found = set()
    for position, name in enumerate(case.node.input):
        formal = schema.inputs[min(position, len(schema.inputs) - 1)]
        allowed = types.get(formal.type_str, ())  # a single type: scales, sizes, flags
        if name and not any("float" in t or "int8" in t for t in allowed):
            found.add(name)
    return frozenset(found if found != set(case.inputs) else ())


def unfed_inputs(case: NodeCase) -> frozenset[str]:
    """Return the inputs that can only be initializers: empty ones, types that cannot be fed."""
    return frozenset(
        n
        for n in plain(case)
        if n in case.fixed or not np.size(case.inputs[n]) or _elements(case, n) in _UNFED  # type: ignore[arg-type]
    )


def plain(case: NodeCase) -> frozenset[str]:
    """Return the inputs that are tensors."""
    return frozenset(n for n, v in case.inputs.items() if isinstance(v, np.ndarray))


def _elements(case: NodeCase, name: str) -> int:
    info = next(i for i in case.model.graph.input if i.name == name)
    return int(info.type.tensor_type.elem_type)

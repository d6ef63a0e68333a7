"""Operators that compute: elementwise, products, reductions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import integers as ints
from onnxprune.testing.made_cases import made_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _elementwise()
    yield from _products()
    yield from _reduction()


def _elementwise() -> Iterator[NodeCase]:
    shapes = {"same": (2, 6, 4), "column": (6, 1), "row": (4,), "one": (1, 6, 1), "scalar": ()}
    for name, shape in shapes.items():
        for op in ("Add", "Mul", "Max"):
            yield made_case(f"{op}_{name}", op, [f(2, 6, 4), f(*shape, seed=1)])
    yield made_case("sum_three", "Sum", [f(2, 6, 4), f(6, 1), f(2, 1, 1)])
    yield made_case("prelu", "PRelu", [f(2, 6, 3, 3), f(6, 1, 1)])
    mask = f(6, 1) > 0
    yield made_case("where_mask", "Where", [mask, f(2, 6, 4), f(4)])
    yield made_case("where_one", "Where", [mask, f(2, 6, 4), f(2, 1, 4)])
    yield made_case("clip", "Clip", [f(2, 6), np.float32(-1), None])
    yield made_case("dropout", "Dropout", [f(2, 6)], outputs=2)
    yield made_case("cast_bool", "Cast", [f(2, 6)], to=9)


def _products() -> Iterator[NodeCase]:
    yield made_case("matmul_weight", "MatMul", [f(2, 5, 6), f(6, 4)])
    yield made_case("matmul_left", "MatMul", [f(4, 5), f(2, 5, 6)])
    yield made_case("matmul_batch", "MatMul", [f(2, 3, 5, 6), f(2, 3, 6, 4)])
    yield made_case("matmul_broadcast", "MatMul", [f(2, 1, 5, 6), f(3, 6, 4)])
    yield made_case("matmul_row", "MatMul", [f(6), f(2, 6, 4)])
    yield made_case("matmul_column", "MatMul", [f(2, 5, 6), f(6)])
    yield made_case("matmul_dot", "MatMul", [f(6), f(6, seed=1)])
    addends: list[tuple[int, ...]] = [(), (4,), (1, 4), (3, 1), (3, 4), (1,)]
    for number, shape in enumerate(addends):
        ta, tb = number % 2, number // 2 % 2
        a = f(6, 3) if ta else f(3, 6)
        b = f(4, 6) if tb else f(6, 4)
        yield made_case(
            f"gemm_{number}", "Gemm", [a, b, f(*shape)], transA=ta, transB=tb, alpha=0.5
        )
    yield made_case("gemm_bare", "Gemm", [f(3, 6), f(6, 4)])
    equations: dict[str, list[tuple[int, ...]]] = {
        "bij,jk->bik": [(2, 3, 6), (6, 4)],
        "bhid,bhjd->bhij": [(2, 4, 3, 6), (2, 4, 5, 6)],
        "bnd,dhe->bhne": [(2, 3, 6), (6, 4, 5)],
        "...ij,...jk": [(2, 3, 6), (2, 6, 4)],
        "ij->ji": [(3, 6)],
        "ij->i": [(3, 6)],
        "ij,ij->": [(3, 6), (3, 6)],
        "i,j->ij": [(3,), (6,)],
        "bi,bj,bk->bijk": [(2, 3), (2, 4), (2, 5)],
        "ab,bc,cd->ad": [(2, 3), (3, 4), (4, 5)],
    }
    for number, (equation, shapes) in enumerate(equations.items()):
        inputs = [f(*s, seed=i) for i, s in enumerate(shapes)]
        yield made_case(f"einsum_{number}", "Einsum", inputs, equation=equation)


def _reduction() -> Iterator[NodeCase]:
    operators = (
        "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare "
        "ReduceLogSumExp ReduceLogSum"
    ).split()
    for op in operators:
        low = 0.5 if op == "ReduceLogSum" else -2.0
        for axes, keep in (([1], 1), ([1], 0), ([0, 2], 0), ([1, 2], 1), ([-1], 0), ([], 1)):
            name = f"{op.lower()}_{'_'.join(map(str, axes))}_{keep}"
            x = f(2, 6, 4, low=low)
            yield made_case(name, op, [x, ints(*axes)], keepdims=keep)
            if axes:
                yield made_case(f"{name}_11", op, [x], keepdims=keep, axes=axes, opset=11)
    for op in ("ArgMax", "ArgMin"):
        yield made_case(op.lower(), op, [f(2, 6, 4)], axis=1, keepdims=0)
    yield made_case("cumsum", "CumSum", [f(2, 6, 4), np.int64(1)])
    yield made_case("topk", "TopK", [f(2, 6, 4), ints(2)], axis=1, outputs=2)
    yield made_case("hardmax", "Hardmax", [f(2, 6, 4)], axis=1)

"""If, Loop and Scan: bodies are walked like the graph around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.context import Operand
from onnxprune.core.registry import rule
from onnxprune.core.walk import captures, walk

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node
    from onnxprune.core.labels import Factors


def _same(ctx: LabelContext, keys: list[str]) -> Factors:
    """Unite values that stand for one another; they must have one shape."""
    shapes = {ctx.shape(k) for k in keys}
    shape = shapes.pop()
    if shapes or shape is None:
        for key in keys:
            ctx.freeze(ctx.factors(key), "takes several shapes", value=key)
        return ()
    return ctx.align([Operand(ctx.factors(k), _solid(shape), k) for k in keys])


def _solid(shape: tuple[int, ...]) -> dict[int, int]:
    return dict(enumerate(shape))


@rule("If")
def branch(ctx: LabelContext, node: Node) -> None:
    """All axes pass; the same indices leave from both branches."""
    for body in node.bodies.values():
        walk(ctx, body)
    ctx.enter(node)
    for position, key in enumerate(node.outputs):
        factors = _same(ctx, [b.outputs[position] for b in node.bodies.values()])
        if ctx.shape(key) is None:
            ctx.freeze(factors, "takes several shapes", value=key)
            factors = ()
        ctx.set(key, factors)


@rule("Loop")
def loop(ctx: LabelContext, node: Node) -> None:
    """Axes of states pass, the same indices at every trip."""
    body = node.bodies["body"]
    states = node.inputs[2:]
    for source, target in zip(states, body.inputs[2:], strict=True):
        ctx.set(target, ctx.factors(source) if ctx.shape(target) is not None else ())
    walk(ctx, body)
    ctx.enter(node)
    _states(ctx, node, states, body.inputs[2:], body.outputs[1:])
    for source, target in zip(
        body.outputs[1 + len(states) :], node.outputs[len(states) :], strict=True
    ):
        stacked = [f.rename(a + 1 for a in f.axes) for f in ctx.factors(source)]
        if target and ctx.shape(target) is None:
            ctx.freeze(stacked, "stacked a number of times that is not known", value=source)
            stacked = []
        ctx.set(target, stacked)


def _states(ctx, node, states, inner, results) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    for position, source in enumerate(states):
        factors = _same(ctx, [source, inner[position], results[position]]) if source else ()
        ctx.set(node.outputs[position], factors)


@rule("Scan", since=8)
def scan_batches(ctx: LabelContext, node: Node) -> None:
    """Nothing: this form scans every sample of a batch by itself."""
    ctx.opaque(node, "a scan with a batch axis (opset 8)")
    for key in captures(node):
        ctx.freeze(ctx.factors(key), "read inside a scan of opset 8", value=key)


@rule("Scan", since=9)
def scan(ctx: LabelContext, node: Node) -> None:
    """Axes of states pass, and those of scanned values but the scanned one."""
    body = node.bodies["body"]
    count = int(node.attribute("num_scan_inputs", 0))
    split = len(node.inputs) - count
    axes = node.attribute("scan_input_axes", [0] * count)
    out_axes = node.attribute("scan_output_axes", [0] * (len(node.outputs) - split))
    for source, target in zip(node.inputs[:split], body.inputs, strict=False):
        ctx.set(target, ctx.factors(source))
    for source, target, axis in zip(node.inputs[split:], body.inputs[split:], axes, strict=True):
        rank = len(ctx.shape(source) or ())
        place = int(axis) % max(rank, 1)
        factors = ctx.release(ctx.factors(source), (place,), "scanned over this axis")
        names = {a: a - (a > place) for a in range(rank) if a != place}
        ctx.set(target, ctx.shift(factors, names))
    walk(ctx, body)
    ctx.enter(node)
    _states(ctx, node, node.inputs[:split], body.inputs, body.outputs)
    for source, target, axis in zip(
        body.outputs[split:], node.outputs[split:], out_axes, strict=True
    ):
        rank = len(ctx.shape(source) or ()) + 1
        place = int(axis) % rank
        stacked = [f.rename(a + (a >= place) for a in f.axes) for f in ctx.factors(source)]
        ctx.set(target, stacked)

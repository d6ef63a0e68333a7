"""Select, the mark that lets a consumer of a value drop channels which others keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.graph import INTERNAL, SELECT
from onnxprune.core.registry import rule

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node


@rule(SELECT, domain=INTERNAL)
def select(ctx: LabelContext, node: Node) -> None:
    """Indices of one axis may leave here alone; what left before is missing here, too."""
    ctx.set(node.outputs[0], ctx.fork(ctx.factors(node.inputs[0]), int(node.attribute("axis"))))

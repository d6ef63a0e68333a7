"""Names of domains, and shapes that many operators share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.rules.api import shapes

if TYPE_CHECKING:
    from onnxprune.rules.api import Inferred, Node, Shape, Shapes

MICROSOFT = "com.microsoft"
NCHWC = "com.microsoft.nchwc"
NHWC = "com.ms.internal.nhwc"


def known(found: Shapes, key: str) -> Shape:
    """Return the shape of a value.

    Raises:
        ValueError: it is not known, so that nothing follows from it.
    """
    shape = found.shape(key)
    if shape is None:
        message = f"the shape of {key} is not known"
        raise ValueError(message)
    return shape


def element_type(found: Shapes, key: str) -> int:
    """Return the element type of a value.

    Raises:
        ValueError: it is not known.
    """
    kind = found.dtypes.get(key)
    if kind is None:
        message = f"the type of {key} is not known"
        raise ValueError(message)
    return kind


def as_first(found: Shapes, node: Node) -> Inferred:
    """Every output is as the first input."""
    first = (element_type(found, node.inputs[0]), known(found, node.inputs[0]))
    return [first for _ in node.outputs]


shapes("LayerNormalization", "SimplifiedLayerNormalization", domain="")(  # at any opset
    lambda found, node: as_first(found, node)[:1]  # statistics are of no use afterwards
)

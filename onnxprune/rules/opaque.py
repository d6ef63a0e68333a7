"""Operators that nothing can be pruned through, and why.

What goes into them stays; so does everything about their results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.core.registry import rule
from onnxprune.core.walk import captures

if TYPE_CHECKING:
    from onnxprune.core.context import LabelContext
    from onnxprune.core.graph import Node

BY_CONTENT = "the shape of the result depends on content"
CONSTANT = "makes constant data whose indices mean something"
LOSS = "a loss, of training graphs"
NOISE = "noise would be drawn differently"
SEQUENCE = "sequences and optional values are not followed"
STRINGS = "works on text"

REASONS = {
    "AffineGrid": "makes coordinates of fixed places",
    "Bernoulli": NOISE,
    "BlackmanWindow": CONSTANT,
    "Compress": BY_CONTENT,
    "ConcatFromSequence": SEQUENCE,
    "EyeLike": "takes only the shape of its input, where every index counts",
    "HammingWindow": CONSTANT,
    "HannWindow": CONSTANT,
    "ImageDecoder": "decodes a file",
    "MaxUnpool": "its flat indices depend on the number of channels",
    "MelWeightMatrix": CONSTANT,
    "Multinomial": NOISE,
    "NegativeLogLikelihoodLoss": LOSS,
    "NonMaxSuppression": BY_CONTENT,
    "NonZero": BY_CONTENT,
    "Optional": SEQUENCE,
    "OptionalGetElement": SEQUENCE,
    "OptionalHasElement": SEQUENCE,
    "RandomNormal": NOISE,
    "RandomNormalLike": NOISE,
    "RandomUniform": NOISE,
    "RandomUniformLike": NOISE,
    "Range": "counts between computed ends",
    "RegexFullMatch": STRINGS,
    "SequenceAt": SEQUENCE,
    "SequenceConstruct": SEQUENCE,
    "SequenceEmpty": SEQUENCE,
    "SequenceErase": SEQUENCE,
    "SequenceInsert": SEQUENCE,
    "SequenceLength": SEQUENCE,
    "SequenceMap": SEQUENCE,
    "SoftmaxCrossEntropyLoss": LOSS,
    "SplitToSequence": SEQUENCE,
    "StringConcat": STRINGS,
    "StringNormalizer": STRINGS,
    "StringSplit": STRINGS,
    "TfIdfVectorizer": "counts patterns of neighbouring elements",
    "Unique": BY_CONTENT,
}
"""Reason by operator."""


@rule(*REASONS, blind=True)
def opaque(ctx: LabelContext, node: Node) -> None:
    """Nothing passes."""
    ctx.opaque(node, REASONS[node.op])
    for key in captures(node):
        ctx.freeze(ctx.factors(key), REASONS[node.op], value=key)

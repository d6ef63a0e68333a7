"""Normalisations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune.testing.made_cases import floats as f
from onnxprune.testing.made_cases import made_case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from onnxprune.testing.node_cases import NodeCase


def cases() -> Iterator[NodeCase]:
    """Yield the cases."""
    yield from _normalization()


def _normalization() -> Iterator[NodeCase]:
    x = f(2, 6, 4, 4)
    vectors = [f(6), f(6, seed=1), f(6, seed=2), f(6, low=0.1)]
    yield made_case("batchnorm", "BatchNormalization", [x, *vectors])
    yield made_case("batchnorm_9", "BatchNormalization", [x, *vectors], opset=9)
    yield made_case(
        "batchnorm_training", "BatchNormalization", [x, *vectors], outputs=3, training_mode=1
    )
    yield made_case("instancenorm", "InstanceNormalization", [x, *vectors[:2]])
    yield made_case("groupnorm", "GroupNormalization", [x, *vectors[:2]], num_groups=3)
    groups = [f(3), f(3, seed=1)]
    yield made_case("groupnorm_18", "GroupNormalization", [x, *groups], num_groups=3, opset=18)
    yield made_case("layernorm", "LayerNormalization", [f(2, 6, 4), f(4), f(4)], outputs=3)
    two = [f(2, 6, 4), f(6, 4), f(6, 4)]
    yield made_case("layernorm_two", "LayerNormalization", two, axis=1, outputs=3)
    yield made_case("rmsnorm", "RMSNormalization", [f(2, 6, 4), f(4)], opset=23)
    yield made_case("lpnorm", "LpNormalization", [f(2, 6, 4)], axis=1)
    yield made_case("lrn", "LRN", [x], size=3)
    yield made_case("mvn", "MeanVarianceNormalization", [x], axes=[2, 3])
    yield made_case("softmax", "Softmax", [f(2, 6, 4)], axis=-1)
    yield made_case("softmax_11", "Softmax", [f(2, 6, 4)], axis=1, opset=11)
    yield made_case("logsoftmax_11", "LogSoftmax", [f(2, 6, 4)], axis=-1, opset=11)

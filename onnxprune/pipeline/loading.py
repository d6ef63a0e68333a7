"""What the verbs work on: a model, its file, or its analysis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.analysis import Analysis, analyze_model
from onnxprune.io import Model, load_model

if TYPE_CHECKING:
    from collections.abc import Mapping


__all__ = ["ModelLike", "analyze", "load"]


ModelLike = Analysis | Model | str | Path


def load(path: str | Path) -> Model:
    """Read and check a model; its weights stay in the file.

    Raises:
        InvalidModelError: the file is no usable model.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> load(MODEL).proto.graph.input[0].name
        'image'
    """
    return load_model(path)


def analyze(model: ModelLike, *, dims: Mapping[str, int] | None = None) -> Analysis:
    """Find the coupled groups of a model, and what stays with the reason.

    Args:
        model: a model or its file; an analysis is returned as it is.
        dims: sizes for symbolic dimensions of the inputs.

    Raises:
        InvalidModelError: the file is no usable model.
        InvalidConfigError: `dims` names a dimension that there is not.

    Example:
        >>> from onnxprune.demo import MODEL
        >>> [group.size for group in analyze(MODEL).deps.groups][:3]
        [64, 32, 32]
    """
    return model if isinstance(model, Analysis) else analyze_model(model, dims=dims)

"""What a model must be fed with: names, element types, and dimensions with symbols where open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import numpy as np

from onnxprune.errors import InvalidModelError, printable
from onnxprune.runtime import element_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

__all__ = ["Container", "InputSpec", "input_specs"]

Container: TypeAlias = Literal["tensor", "sequence", "optional", "optional sequence", "other"]

_OBJECT: Final[np.dtype[Any]] = np.dtype(np.object_)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a graph.

    Attributes:
        name: Its name.
        dtype: The NumPy type of the elements; object for strings.
        dims: Sizes, and symbols where the size is open; None where not even the rank is known.
        container: What holds the elements; "other" is what nothing can be made up for.
    """

    name: str
    dtype: np.dtype[Any]
    dims: tuple[int | str, ...] | None
    container: Container = "tensor"

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the dimensions with the symbols replaced by their sizes.

        Raises:
            InvalidModelError: The rank is not known.
            KeyError: A symbol has no size.

        Examples:
            >>> InputSpec("x", np.dtype(np.float32), ("N", 3)).shape({"N": 2})
            (2, 3)
        """
        if self.dims is None:
            message = f"input '{printable(self.name)}' declares no number of dimensions"
            raise InvalidModelError(message, hint="give calibration data for it")
        return tuple(sizes[dim] if isinstance(dim, str) else dim for dim in self.dims)


def input_specs(model: onnx.ModelProto) -> tuple[InputSpec, ...]:
    """Return the inputs that must be fed; an initializer that is also an input has its value.

    A dimension with neither size nor name, or with the name "?", gets the symbol "<input>:<axis>".
    """
    graph = model.graph
    known = {tensor.name for tensor in graph.initializer}
    known.update(sparse.values.name for sparse in graph.sparse_initializer)
    return tuple(_spec(value.name, value.type) for value in graph.input if value.name not in known)


def _spec(name: str, declared: onnx.TypeProto) -> InputSpec:
    container: Container = "tensor"
    inner = declared
    if inner.HasField("optional_type"):
        inner = inner.optional_type.elem_type
        container = "optional"
    if inner.HasField("sequence_type"):
        inner = inner.sequence_type.elem_type
        container = "sequence" if container == "tensor" else "optional sequence"
    element = element_types.by_number(inner.tensor_type.elem_type)
    if element is None or not inner.HasField("tensor_type"):
        return InputSpec(name, _OBJECT, None, "other")
    dims = _dims(name, inner.tensor_type)
    return InputSpec(name, element.dtype, dims, container)


def _dims(name: str, tensor: onnx.TypeProto.Tensor) -> tuple[int | str, ...] | None:
    if not tensor.HasField("shape"):
        return None
    return tuple(
        dim.dim_value
        if dim.HasField("dim_value") and dim.dim_value >= 0
        else f"{name}:{axis}"
        if dim.dim_param in ("", "?")  # Paddle's exporter calls every open size "?"
        else dim.dim_param
        for axis, dim in enumerate(tensor.shape.dim)
    )

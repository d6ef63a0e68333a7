"""Grow an ONNX graph node by node, with the shape of every value known.

A block (see `onnxprune.testing.blocks.registry`) receives a `Builder` and a `Tensor` and appends
nodes; everything random it needs comes from `Builder.rng`, so a model is a function of its seed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

import numpy as np
import onnx
from onnx import helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

Dim = int | str
Layout = Literal["line", "plane", "cube", "seq", "vec", "raw"]
Attribute: TypeAlias = (
    "int | float | str | Sequence[int] | Sequence[float] | Sequence[str]"
    "| onnx.TensorProto | onnx.GraphProto"
)
T = TypeVar("T")

MAPS: tuple[Layout, ...] = ("line", "plane", "cube")
ANY: tuple[Layout, ...] = (*MAPS, "seq", "vec")
LAST_OPSET = 24


@dataclass(frozen=True)
class Tensor:
    """A value of the graph: `[n c *space]` maps, `[n l c]` sequences, `[n c]` vectors or raw.

    Attributes:
        name: Name of the value in the graph.
        shape: Sizes; a symbolic one is a string.
        layout: Where the channels are.
        rms: Rough size of the elements, so that deep graphs stay finite.
    """

    name: str
    shape: tuple[Dim, ...]
    layout: Layout = "raw"
    rms: float = 1.0

    @property
    def axis(self) -> int:
        """Position of the channels."""
        return 1 if self.layout in MAPS else len(self.shape) - 1

    @property
    def channels(self) -> int:
        """Number of channels."""
        size = self.shape[self.axis]
        assert isinstance(size, int)
        return size

    @property
    def most_positions(self) -> int:
        """Rows that a table needs so that it can be cut to the length of this sequence."""
        size = self.shape[1]
        return size + 2 if isinstance(size, int) else 16

    @property
    def space(self) -> tuple[int, ...]:
        """Spatial sizes of a map, nothing for other layouts."""
        if self.layout not in MAPS:
            return ()
        return tuple(size for size in self.shape[2:] if isinstance(size, int))

    def named(self, name: str, *, rms: float | None = None) -> Tensor:
        """Return a value of the same shape."""
        return replace(self, name=name, rms=self.rms if rms is None else rms)

    def resized(self, name: str, channels: int, *, space: Sequence[int] | None = None) -> Tensor:
        """Return a value with other channels and, for a map, another space."""
        shape = list(self.shape)
        shape[self.axis] = channels
        if space is not None:
            shape[2:] = list(space)
        return replace(self, name=name, shape=tuple(shape))


@dataclass(frozen=True)
class Setting:
    """What holds for a whole random model.

    Attributes:
        opset: Version of the default operator set.
        ir_version: Version of the file format.
        dtype: Floating-point type of values and parameters.
        batch: First dimension of every input, `N` or a number.
        length: Second dimension of sequences, `L` or a number.
        widths: Numbers of channels to choose from.
        dressing: Share of the parameters that stand behind an operator.
        naming: Format of a name, from `hint` and `count`.
        named_nodes: Whether nodes have names.
    """

    opset: int
    ir_version: int
    dtype: np.dtype[np.generic]
    batch: Dim
    length: Dim
    widths: tuple[int, ...]
    dressing: float
    naming: str
    named_nodes: bool


@dataclass
class _Scope:
    """One graph or function body under construction; a function has no initializers."""

    is_function: bool = False
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initializers: list[onnx.TensorProto] = field(default_factory=list)


class Builder:
    """The graph so far, and the random choices still to come."""

    def __init__(self, rng: np.random.Generator, setting: Setting) -> None:
        self.rng = rng
        self.setting = setting
        self.live: list[Tensor] = []
        self.entries: list[Tensor] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.sparse: list[onnx.SparseTensorProto] = []
        self.functions: list[onnx.FunctionProto] = []
        self.shareable: dict[tuple[int, ...], list[str]] = {}
        self._scopes = [_Scope()]
        self._count = 0

    @property
    def opset(self) -> int:
        """Version of the default operator set."""
        return self.setting.opset

    @property
    def elem_type(self) -> int:
        """The model's floating-point type as ONNX numbers it."""
        return int(helper.np_dtype_to_tensor_dtype(self.setting.dtype))

    @property
    def depth(self) -> int:
        """How many subgraphs or function bodies enclose the next node."""
        return len(self._scopes) - 1

    @property
    def in_function(self) -> bool:
        """Whether the next node goes into a function body."""
        return self._scopes[-1].is_function

    @property
    def nodes(self) -> list[onnx.NodeProto]:
        """Nodes of the innermost graph or function."""
        return self._scopes[-1].nodes

    @property
    def initializers(self) -> list[onnx.TensorProto]:
        """Initializers of the innermost graph."""
        return self._scopes[-1].initializers

    def pick(self, options: Sequence[T]) -> T:
        """Choose one of the options."""
        return options[int(self.rng.integers(len(options)))]

    def shuffled(self, *options: str | Tensor) -> list[str | Tensor]:
        """Return the operands of a commutative operator in either order."""
        return list(options) if self.chance(0.5) else list(reversed(options))

    def chance(self, probability: float) -> bool:
        """Toss a coin."""
        return bool(self.rng.random() < probability)

    def between(self, low: int, high: int) -> int:
        """Choose a whole number, both ends included."""
        return int(self.rng.integers(low, high + 1))

    def width(self, *, multiple: int = 1) -> int:
        """Choose a number of channels; few different ones, so that shapes meet again."""
        width = self.pick(self.setting.widths)
        return max(multiple, width - width % multiple)

    def fresh(self, hint: str) -> str:
        """Return a name not used before."""
        self._count += 1
        return self.setting.naming.format(hint=hint, count=self._count)

    def node(
        self, op_type: str, *inputs: str | Tensor, outputs: int = 1, **attributes: Attribute
    ) -> list[str]:
        """Append a node and return the names of its outputs; `domain` is an attribute here."""
        return self._append(op_type, inputs, outputs, attributes)

    def op(self, op_type: str, *inputs: str | Tensor, **attributes: Attribute) -> str:
        """Append a node with one output and return its name."""
        return self._append(op_type, inputs, 1, attributes)[0]

    def _append(
        self,
        op_type: str,
        inputs: Sequence[str | Tensor],
        outputs: int,
        attributes: Mapping[str, Attribute],
    ) -> list[str]:
        names = [self.fresh(op_type.lower()) for _ in range(outputs)]
        sources = [i if isinstance(i, str) else i.name for i in inputs]
        name = f"node_{names[0]}" if self.setting.named_nodes else ""
        node = helper.make_node(op_type, sources, names, name=name)
        for key, value in sorted(attributes.items()):
            if key == "domain":
                node.domain = str(value)
            else:
                node.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(node)
        return names

    def same(
        self, op_type: str, x: Tensor, *inputs: str | Tensor, **attributes: Attribute
    ) -> Tensor:
        """Append a node that keeps the shape of its first input."""
        return x.named(self.op(op_type, x, *inputs, **attributes))

    def constant(self, array: NDArray[np.generic], hint: str = "const") -> str:
        """Add a constant: an initializer here or further out, or a Constant node."""
        scope = self._scopes[-1]
        tensor = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
        nested_old = self.depth > 0 and self.setting.ir_version < 4
        if scope.is_function or nested_old or self.chance(0.2):
            return self.op("Constant", value=tensor)
        return self.initializer(array, hint=hint, outermost=self.chance(0.5))

    def initializer(
        self, array: NDArray[np.generic], *, hint: str = "weight", outermost: bool = True
    ) -> str:
        """Add an initializer; an inner graph may capture one of the outermost graph."""
        name = self.fresh(hint)
        scope = self._scopes[0 if outermost else -1]
        contiguous = np.ascontiguousarray(array).reshape(array.shape)
        scope.initializers.append(numpy_helper.from_array(contiguous, name))
        return name

    def floats(self, values: float | Sequence[float] | NDArray[np.floating]) -> str:
        """Add a constant of the model's floating-point type."""
        return self.constant(np.asarray(values, dtype=self.setting.dtype))

    def ints(self, values: int | Sequence[int]) -> str:
        """Add an int64 constant, a scalar for a single number."""
        return self.constant(np.asarray(values, dtype=np.int64), hint="ints")

    def graph_input(self, name: str, elem_type: int, shape: Sequence[Dim]) -> str:
        """Declare a graph input once and return its name."""
        if all(declared.name != name for declared in self.inputs):
            self.inputs.append(helper.make_tensor_value_info(name, elem_type, list(shape)))
        return name

    def has(self, op_type: str) -> bool:
        """Whether the outermost graph has a node of this type so far."""
        return any(node.op_type == op_type for node in self._scopes[0].nodes)

    def partner(self, x: Tensor) -> Tensor | None:
        """Return another live value of the same shape, if there is one."""
        equals = [t for t in self.live if (t.shape, t.layout) == (x.shape, x.layout)]
        others = [t for t in equals if t.name != x.name]
        return self.pick(others) if others and not self.depth else None

    @contextlib.contextmanager
    def scope(self, *, is_function: bool = False) -> Iterator[_Scope]:
        """Collect the nodes added inside the `with` block in a graph or function of their own."""
        inner = _Scope(is_function=is_function)
        self._scopes.append(inner)
        try:
            yield inner
        finally:
            self._scopes.pop()

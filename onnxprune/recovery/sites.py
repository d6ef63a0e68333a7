"""Find operators whose weights can be repaired, and inputs that have to be masked instead."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from onnxprune.recovery.unfold import Convolution, Product, convolution_of
from onnxprune.recovery.weights import FLOATS, Chain, MatrixView, count_uses, find_chain, numeric
from onnxprune.rules.recurrent import GATES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node
    from onnxprune.core.labelling import Contraction
    from onnxprune.core.labels import LabelArray

MOST_FEATURES = 1600
"""A convolution with more features (channels times kernel) is solved pointwise."""

_ROWS_FREE_BIAS = 11
"""Opset from which Gemm's addend may be left out."""


@dataclass(frozen=True, slots=True)
class Bias:
    """Where a constant can be added to a site's output.

    Attributes:
        parameter: key of the vector, "" when the node gets a new one.
        own: whether the node itself reads the vector, so that its output includes it.
        scale: factor that the operator applies to it.
        recurrent: whether a second vector stands behind it, for what is fed back.
    """

    parameter: str
    own: bool
    scale: float = 1.0
    recurrent: bool = False

    def add(self, content: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the parameter's content with something added to the operator's output.

        Args:
            content: what the parameter holds.
            shift: what is added to every output.
        """
        changed = content.astype(np.float64)
        if self.recurrent:
            part = changed[:, : changed.shape[1] // 2]  # a view
            part += shift.reshape(part.shape)
        else:
            changed += shift.reshape(changed.shape) / self.scale
        return changed.astype(content.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """An operator with a constant weight.

    Attributes:
        node: the operator.
        x: key of its computed input.
        position: which input that is.
        axis: axis of the input that is summed.
        rows: how input and output become rows.
        weight: its weight as matrices.
        bias: where a constant can go, None for nowhere.
        labels: label sets of each input channel, one array per factor.
        outputs: label sets of each output channel, one array per factor.
        channels: number of input channels.
        rank: number of axes of the input.
    """

    node: Node
    x: str
    position: int
    axis: int
    rows: Convolution | Product
    weight: MatrixView
    bias: Bias | None
    labels: tuple[LabelArray, ...]
    outputs: tuple[LabelArray, ...]
    channels: int
    rank: int

    @property
    def number(self) -> int:
        """Position of the node in the graph."""
        return self.node.index

    @property
    def y(self) -> str:
        """Key of the output."""
        return self.node.outputs[0]

    @property
    def groups(self) -> int:
        """Number of channel groups, each a problem of its own."""
        return self.weight.groups

    @property
    def pointwise(self) -> bool:
        """Whether its problem is solved channel by channel.

        Then the original's input is fitted by the changed input, position by position, and the map
        between their channels is put into the weight. So it is where windows are too many features,
        and where products are not seen, because gates and states follow inside the operator.
        """
        features = self.channels * self.rows.kernel
        wide = self.groups == 1 and self.rows.kernel > 1 and features > MOST_FEATURES
        return wide or self.gated

    @property
    def gated(self) -> bool:
        """Whether gates follow inside the operator, so that the product is not its output."""
        return self.node.op in GATES

    @property
    def target(self) -> str:
        """Key of the value that is fitted."""
        return self.x if self.pointwise else self.y

    @property
    def target_axis(self) -> int:
        """Axis of the channels in that value."""
        if self.pointwise:
            return self.axis
        return self.rows.outer if isinstance(self.rows, Product) else 1

    @property
    def block(self) -> int:
        """Features of a channel in the problem that is solved."""
        return 1 if self.pointwise else self.rows.kernel

    @property
    def view(self) -> Convolution | Product:
        """How input and target become rows of the problem that is solved."""
        axis = self.axis - self.rank
        return Product(axis, axis) if self.pointwise else self.rows

    def spread(self, weight: np.ndarray) -> np.ndarray:
        """Return a weight [1, features, outputs] with one row per feature of the problem."""
        if not self.pointwise:
            return weight
        return weight.reshape(1, self.channels, -1)

    def collect(self, weight: np.ndarray) -> np.ndarray:
        """Undo `spread`."""
        if not self.pointwise:
            return weight
        return weight.reshape(1, self.channels * self.rows.kernel, -1)

    def gone(self, removed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Return which input channels are removed; None when the site has no labels."""
        return _any(self.labels, removed)

    def dead(self, removed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """Return which output channels are removed."""
        return _any(self.outputs, removed)

    def atoms(self) -> NDArray[np.int64]:
        """Return the label sets of its input channels."""
        found = [a.ravel() for a in self.labels]
        return np.unique(np.concatenate([*found, np.zeros(0, np.int64)]))


def _any(factors: tuple[LabelArray, ...], removed: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
    result: NDArray[np.bool_] | None = None
    for labels in factors:
        flags = removed[labels]
        result = flags if result is None else result | flags
    return result


@dataclass(slots=True)
class Sites:
    """All places where removal is felt.

    Attributes:
        sites: operators that can be repaired, in order.
        masked: contractions of the main graph whose input is masked instead, in order.
        refused: why, by node.
    """

    sites: list[Site] = field(default_factory=list)
    masked: list[Contraction] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def without(self, dead: Collection[int]) -> Sites:
        """Return the places but those at nodes that leave as wholes."""
        return Sites(
            [s for s in self.sites if s.number not in dead],
            [c for c in self.masked if c.node.index not in dead],
            self.refused,
        )


def find_sites(deps: Dependencies) -> Sites:
    """List repairable operators of the main graph, and contractions that are not."""
    found = Sites()
    uses = count_uses(deps)
    readers: dict[str, list[Node]] = {}
    for node in deps.graph.nodes:
        for key in node.inputs:
            readers.setdefault(key, []).append(node)
    taken: set[int] = set()
    for contraction in deps.ctx.contractions:
        node = contraction.node
        if node.scope:
            continue
        site = _site(deps, contraction, uses, readers)
        if isinstance(site, Site):
            found.sites.append(site)
            taken.add(node.index)
        else:
            found.masked.append(contraction)
            found.refused[node.name] = site
    found.sites.sort(key=lambda s: s.number)
    found.masked.sort(key=lambda c: c.node.index)
    return found


def _site(
    deps: Dependencies,
    contraction: Contraction,
    uses: Mapping[str, int],
    readers: Mapping[str, list[Node]],
) -> Site | str:
    node, position = contraction.node, contraction.position
    refusal = _refusal(deps, node, position)
    if refusal:
        return refusal
    x, w = node.inputs[position], node.inputs[1 - position]
    shape = deps.ctx.shape(x)
    chain = find_chain(deps, w, uses)
    if isinstance(chain, str):
        return f"its weight is {chain}"
    if shape is None or (node.op not in GATES and deps.ctx.shape(node.outputs[0]) is None):
        return "of unknown shape"
    axis = contraction.axes[0]
    labels = []
    for factor in deps.ctx.factors_of.get(x, ()):
        if axis in factor.axes:
            if len(factor.axes) > 1:
                return "its channels differ from row to row"
            labels.append(deps.roots[factor.labels])
    made = _rows(node, position, len(shape), deps.ctx.shape(w) or (), chain)
    if isinstance(made, str):
        return made
    rows, view, outer = made
    outputs = tuple(
        deps.roots[f.labels]
        for f in deps.ctx.factors_of.get(node.outputs[0], ())
        if f.axes == (outer,) and node.op not in GATES  # whose gates make several of each
    )
    bias = _bias(deps, node, view, position, uses, readers)
    return Site(
        node, x, position, axis, rows, view, bias, tuple(labels), outputs, shape[axis], len(shape)
    )


def _refusal(deps: Dependencies, node: Node, position: int) -> str:
    """Return why an input is not one that a weight multiplies, "" if it is."""
    if node.domain or node.op not in ("Conv", "ConvTranspose", "MatMul", "Gemm", *GATES):
        return f"{node.op} is not refitted"
    if node.op.startswith("Conv") and position != 0:
        return "its data is constant"
    if node.op in GATES and position != 0:
        return "what is fed back is not refitted"
    if position > 1 or deps.settings[0].dtypes.get(node.inputs[position]) not in FLOATS:
        return "its data is quantised"
    return ""


def _rows(
    node: Node, position: int, rank: int, weight: tuple[int, ...], chain: Chain
) -> tuple[Convolution | Product, MatrixView, int] | str:
    """Describe rows, weight and the output axis that the weight makes."""
    if node.op in GATES:
        return Product(-1, -1), MatrixView(chain, node.op), rank - 1
    if node.op.startswith("Conv"):
        rows = convolution_of(node, weight)
        if rows is None:
            return "a transposed convolution with padding of its own"
        return rows, MatrixView(chain, node.op, rows.groups), 1
    if int(np.prod(weight[:-2], dtype=np.int64)) != 1 or len(weight) < 2:
        return "its weight is no matrix"
    if node.op == "Gemm":
        turned = bool(node.attribute("transB" if position == 0 else "transA", 0))
        data_turned = bool(node.attribute("transA" if position == 0 else "transB", 0))
        inner = -1 if data_turned == (position == 1) else -2
        view = MatrixView(
            chain, "Gemm", flip=turned if position == 0 else not turned,
            scale=numeric(node, "alpha", 1.0),
        )  # fmt: skip
        return Product(inner, -1 if position == 0 else -2), view, 1 - position
    if rank < 2:
        return "its data is a vector"
    if position == 0:
        outer = max(rank, len(weight)) - 1
        return Product(-1, -1), MatrixView(chain, "MatMul"), outer
    outer = max(rank, len(weight)) - 2
    return Product(-2, -2), MatrixView(chain, "MatMul", flip=True), outer


def _bias(
    deps: Dependencies,
    node: Node,
    view: MatrixView,
    position: int,
    uses: Mapping[str, int],
    readers: Mapping[str, list[Node]],
) -> Bias | None:
    if node.op in GATES:
        key = node.input(3)
        both = 2 * int(np.prod((deps.ctx.shape(node.inputs[1]) or (0,))[:2]))
        usable = bool(key) and _own(deps, key, both, uses)
        return Bias(key, own=False, recurrent=True) if usable else None
    shape = deps.ctx.shape(node.outputs[0]) or ()
    if node.op != "MatMul":
        key = node.input(2)
        if node.op == "Gemm" and position == 1:
            return None
        if not key:
            allowed = node.op != "Gemm" or node.opset >= _ROWS_FREE_BIAS
            return Bias("", own=True) if allowed and view.chain.parameter.dtype == 1 else None
        outputs = shape[1]
        scale = numeric(node, "beta", 1.0) if node.op == "Gemm" else 1.0
        return Bias(key, own=True, scale=scale) if _vector(deps, key, outputs, uses) else None
    after = readers.get(node.outputs[0], [])
    if position != 0 or len(after) != 1 or after[0].op != "Add" or after[0].domain:
        return None
    if uses.get(node.outputs[0], 0) != 1:
        return None
    key = next((k for k in after[0].inputs if k != node.outputs[0]), "")
    if not key or after[0].attribute("axis") is not None:
        return None
    return Bias(key, own=False) if _vector(deps, key, shape[-1], uses) else None


def _vector(deps: Dependencies, key: str, size: int, uses: Mapping[str, int]) -> bool:
    return _own(deps, key, size, uses) and deps.graph.parameters[key].shape[-1:] == (size,)


def _own(deps: Dependencies, key: str, size: int, uses: Mapping[str, int]) -> bool:
    """Tell whether nothing else reads a parameter of so many numbers."""
    parameter = deps.graph.parameters.get(key)
    return (
        parameter is not None
        and not parameter.overridable
        and uses.get(key, 0) == 1
        and parameter.dtype in FLOATS
        and int(np.prod(parameter.shape)) == size
    )

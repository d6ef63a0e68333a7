"""Residual branches: regions whose output is added to a stream that they read, and nothing else.

Where `y = x + f(x)`, taking `f` out leaves `y = x`. A region can leave as a whole when everything
in it that depends on the stream dies with it, and when only a sum of equal shapes notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from onnx import TensorProto

from onnxprune.core.macs import mac_terms

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.core.graph import Node

__all__ = ["Branch", "dead_nodes", "find_branches", "readers_of"]

_FLOATS: Final = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)

_SIZES: Final = ("Shape", "Size")
"""What they return of a value does not depend on its content."""

_PROJECTING: Final = frozenset(
    "AveragePool BatchNormalization Concat Conv GlobalAveragePool Identity MatMul Gemm Pad Reshape "
    "Slice Transpose".split()
)
"""A skip path of these, with one of them that multiplies at most, is a projection."""


@dataclass(frozen=True, slots=True, eq=False)
class Branch:
    """A region that can leave as a whole.

    Attributes:
        id: stable name within the model.
        node: the addition, in the main graph.
        position: its input that the region makes.
        value: key of that input.
        dead: numbers of the nodes of the main graph that leave with it.
        nodes: their names.
    """

    id: str
    node: Node
    position: int
    value: str
    dead: frozenset[int]
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Term:
    """One summand of a sum that may be spread over several additions."""

    node: Node
    position: int

    @property
    def value(self) -> str:
        return self.node.inputs[self.position]


class _Main:
    """The main graph as nodes that read and write; a body reads for the node that holds it."""

    def __init__(self, deps: Dependencies) -> None:
        self.deps = deps
        self.nodes = {n.index: n for n in deps.graph.nodes}
        self.reads = {n.index: tuple(_reads(n)) for n in deps.graph.nodes}
        self.made_by = {o: n.index for n in deps.graph.nodes for o in n.outputs if o}
        self.readers = readers_of(deps)
        self.outputs = set(deps.graph.outputs)

    def dead(self, values: Iterable[tuple[str, int]]) -> frozenset[int]:
        """Return the nodes that nothing needs once some nodes stop to read some values.

        Args:
            values: pairs of a value and the node that reads it no longer.
        """
        left: dict[str, set[int]] = {}
        open_values: list[str] = []
        for value, reader in values:
            left.setdefault(value, set(self.readers.get(value, ()))).discard(reader)
            open_values.append(value)
        found: set[int] = set()
        while open_values:
            value = open_values.pop()
            number = self.made_by.get(value)
            if number is None or number in found:
                continue
            if any(left.get(o, self.readers.get(o)) or o in self.outputs
                   for o in self.nodes[number].outputs if o):  # fmt: skip
                continue
            found.add(number)
            for key in self.reads[number]:
                left.setdefault(key, set(self.readers.get(key, ()))).discard(number)
                open_values.append(key)
        return frozenset(found)

    def region(self, source: str, target: str) -> set[int]:
        """Return the nodes on paths from one value to another, sizes excepted."""
        first = self.made_by.get(source, -1)
        before: set[int] = set()
        stack = [target]
        while stack:
            number = self.made_by.get(stack.pop(), -1)
            if number > first and number not in before:
                before.add(number)
                stack += self.reads[number]
        reached, found = {source}, set()
        for number in sorted(before):
            node = self.nodes[number]
            if node.op not in _SIZES and not reached.isdisjoint(self.reads[number]):
                found.add(number)
                reached.update(o for o in node.outputs if o)
        return found if target in reached else set()

    def multiplying(self, numbers: Iterable[int]) -> int:
        """Count the nodes that multiply and sum up, the ones that hold bodies as well."""
        nodes = [self.nodes[i] for i in numbers]
        return sum(bool(n.bodies or mac_terms(n, self._rank)) for n in nodes)

    def _rank(self, key: str) -> int | None:
        shape = self.deps.ctx.shape(key)
        return None if shape is None else len(shape)

    def sums(self, node: Node) -> bool:
        """Tell whether a node adds two values of equal shape and type."""
        if node.op not in ("Add", "Sum") or node.domain or len(node.inputs) != 2:
            return False
        keys = (*node.inputs, node.outputs[0])
        for shapes in self.deps.settings:
            sizes = [shapes.shape(key) for key in keys]
            if sizes[0] is None or any(s != sizes[0] for s in sizes):
                return False
        dtypes = self.deps.settings[0].dtypes
        return all(dtypes.get(key) in _FLOATS for key in keys)


def _reads(node: Node) -> Iterator[str]:
    """Yield the keys that a node reads, those that its bodies read as well."""
    yield from (key for key in node.inputs if key)
    for body in node.bodies.values():
        yield from body.outputs
        for inner in body.nodes:
            yield from _reads(inner)


def readers_of(deps: Dependencies) -> dict[str, set[int]]:
    """Return the numbers of the nodes of the main graph that read each value or parameter."""
    found: dict[str, set[int]] = {}
    for node in deps.graph.nodes:
        for key in _reads(node):
            found.setdefault(key, set()).add(node.index)
    return found


def dead_nodes(deps: Dependencies, branches: Collection[Branch]) -> frozenset[int]:
    """Return the numbers of the nodes that leave with several branches.

    This may be more than leaves with each alone, such as what two of them share.
    """
    if not branches:
        return frozenset()
    return _Main(deps).dead((b.value, b.node.index) for b in branches)


def find_branches(deps: Dependencies) -> tuple[Branch, ...]:
    """Find the residual branches of the main graph, in its order.

    A branch is a summand that is computed from another summand of the same sum (`x + f(x)`, also
    `x + f(x) + g(x)`), or from what the only other summand is a projection of (`p(x) + f(x)`, as
    where a ResNet changes resolution). Everything on the way from the stream must serve the branch
    alone: a branch with other outputs (a key-value cache) is none.

    Args:
        deps: the analysis.
    """
    main = _Main(deps)
    adders = {n.index: n for n in deps.graph.nodes if main.sums(n)}
    inner = {
        main.made_by[key]
        for node in adders.values()
        for key in node.inputs
        if _only_for(main, key, node) and main.made_by.get(key) in adders
    }
    found: list[Branch] = []
    for number, node in adders.items():
        if number in inner:
            continue
        terms = list(_terms(main, node, adders, inner))
        for term in terms:
            dead = _dead(main, term, terms)
            if dead:
                names = tuple(main.nodes[i].name for i in sorted(dead))
                found.append(Branch("", term.node, term.position, term.value, dead, names))
    found.sort(key=lambda b: (b.node.index, b.position))
    return tuple(
        Branch(f"b{i}", b.node, b.position, b.value, b.dead, b.nodes) for i, b in enumerate(found)
    )


def _only_for(main: _Main, key: str, node: Node) -> bool:
    return main.readers.get(key) == {node.index} and key not in main.outputs


def _terms(
    main: _Main, node: Node, adders: Mapping[int, Node], inner: Collection[int]
) -> Iterator[_Term]:
    for position, key in enumerate(node.inputs):
        number = main.made_by.get(key, -1)
        if number in inner and number in adders and _only_for(main, key, node):
            yield from _terms(main, adders[number], adders, inner)
        else:
            yield _Term(node, position)


def _dead(main: _Main, term: _Term, terms: Sequence[_Term]) -> frozenset[int]:
    """Return the nodes that leave with a summand, none when it is no branch."""
    dead = main.dead([(term.value, term.node.index)])
    if not main.multiplying(dead):  # arithmetic of an activation, say
        return frozenset()
    others = [t for t in terms if t is not term]
    streams = [t.value for t in others]
    if len(others) == 1:
        streams += _projected(main, others[0], dead)
    for stream in streams:
        region = main.region(stream, term.value)
        if region:
            return dead if region <= dead else frozenset()
    return frozenset()


def _projected(main: _Main, skip: _Term, branch: frozenset[int]) -> list[str]:
    """Return what a skip path projects, nothing when it does more, or more than the branch."""
    own = main.dead([(skip.value, skip.node.index)])
    ops = [main.nodes[i].op for i in own]
    count, other = main.multiplying(own), main.multiplying(branch)
    if not own or not set(ops) <= _PROJECTING or count > 1 or other <= count:
        return []
    entries = {
        key
        for i in own
        for key in main.reads[i]
        if main.made_by.get(key) not in own and key not in main.deps.ctx.constants
    }
    return list(entries) if len(entries) == 1 else []

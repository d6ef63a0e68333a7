"""Slice a framework's checkpoint by a plan, so that the pruned network can be trained there.

Tensors are matched with initializers by name, by the module path in the node's name, or by content,
transposed or not; a mapping names what is left. Nothing is guessed: a tensor without a match is an
error, because a checkpoint of which half was cut fits no network.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors

from onnxprune.errors import InvalidConfigError, InvalidModelError, PlanMismatchError, printable
from onnxprune.io.files import map_file
from onnxprune.io.outfile import check_destination, new_files
from onnxprune.rewrite.parameters import ParameterCut

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis

_SIZES = {"BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2,
          "BF16": 2, "I32": 4, "U32": 4, "F32": 4, "F64": 8, "I64": 8, "U64": 8}  # fmt: skip
Tensor = Mapping[str, Any]
"""A tensor of a safetensors file: `dtype` as the format names it, `shape` and `data`."""

_FLOATS = {"F16": np.float16, "F32": np.float32, "F64": np.float64}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Target:
    """What a tensor of a checkpoint follows.

    Attributes:
        initializer: the initializer; None for a tensor that stays as it is.
        transposed: whether the tensor is the initializer's transpose.
        axis: for a tensor of one axis, the axis of the initializer that it follows.
    """

    initializer: str | None
    transposed: bool = False
    axis: int | None = None


@dataclass(slots=True)
class StateDictReport:
    """What was done with a checkpoint.

    Attributes:
        cut: tensors that lost something, with the initializer that they follow.
        kept: tensors that stay as they are.
        repaired: tensors that got repaired weights.
        notes: what the user should know.
    """

    cut: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def slice_state_dict(
    original: Analysis,
    repaired: Analysis,
    removed: NDArray[np.bool_],
    source: Path,
    output: Path,
    *,
    mapping: Path | None = None,
) -> StateDictReport:
    r"""Write the checkpoint of the pruned network.

    Args:
        original: the analysis of the model that the plan is for.
        repaired: the same with the plan's repaired weights.
        removed: one flag per label of the repaired analysis: whether it leaves.
        source: a safetensors file with the framework's tensors.
        output: where to write the sliced ones.
        mapping: a JSON file: pattern of tensor names (a regular expression for the whole name) to
            the initializer they follow, null for tensors that stay, or an object with
            `initializer`, `transposed` and `axis`; `\1` in the initializer stands for the
            pattern's first group.

    Raises:
        InvalidConfigError: a file cannot be read or written.
        PlanMismatchError: a tensor has no match, or another shape than its match; or weights are
            normalised in the model over channels that leave.
    """
    _refuse_statistics(repaired, removed)
    content, identity = _content(source)
    check_destination(output, {identity, *original.model.identities})
    tensors = _tensors(content, source)
    matcher = _Matcher(original, _mapping(mapping))
    cutter = _Cutter(original, repaired, removed)
    report = StateDictReport()
    targets: dict[str, Target] = {}
    for name, tensor in tensors.items():
        target = matcher.target(name, tensor)
        if target is None and len(tensor["shape"]):
            continue
        targets[name] = target or Target(None)
    lost = [name for name in tensors if name not in targets]
    if lost:
        shown = ", ".join(f"'{printable(n)}' {tensors[n]['shape']}" for n in lost[:_SHOWN])
        message = f"{len(lost)} tensors of '{printable(source)}' match no weight of the model: "
        hint = (
            "name what they follow in a --mapping file; an export without constant folding keeps "
            "the framework's names"
        )
        raise PlanMismatchError(message + shown, hint=hint)
    made = {n: cutter.cut(n, tensors[n], target, report) for n, target in targets.items()}
    if repaired is not original:
        report.notes += cutter.notes(report)
    metadata = _metadata(content)
    with new_files(output) as [file]:
        file.write(_serialise(made, metadata))
    return report


def _refuse_statistics(analysis: Analysis, removed: NDArray[np.bool_]) -> None:
    """Refuse where the framework would take statistics anew, of the weights that remain."""
    for node, labels in analysis.deps.ctx.held:
        if removed[labels].any():
            message = (
                f"{node.where} takes a statistic of weights that lose channels: after the cut "
            )
            message += "the framework would compute another one than the pruned model holds"
            hint = "fold weight normalisation into the weights before the export"
            raise PlanMismatchError(message, hint=hint)


class _Matcher:
    """Finds the initializer that a tensor follows."""

    def __init__(self, analysis: Analysis, mapping: Mapping[str, Target]) -> None:
        self._analysis = analysis
        self._mapping = [(re.compile(pattern), target) for pattern, target in mapping.items()]
        self._parameters = analysis.deps.ctx.parameters
        self._by_path: dict[str, list[str]] = {}
        for node in analysis.deps.graph.all_nodes():
            path = module_path(node.name)
            for key in node.inputs if path else ():
                if key in self._parameters:
                    self._by_path.setdefault(path, []).append(key)
        self._by_content: dict[tuple[tuple[int, ...], str], list[Target]] | None = None

    def target(self, name: str, tensor: Tensor) -> Target | None:
        shape = tuple(tensor["shape"])
        found = self._mapped(name)
        if found is not None:
            return found
        if name in self._parameters and shape == self._shape(name):
            return Target(name)
        same = self._same_content(tensor)
        if same is not None:
            return same
        if name in self._parameters and shape == self._shape(name)[::-1]:
            return Target(name, transposed=True)
        path, _, _ = name.rpartition(".")
        near = [k for k in self._by_path.get(path, ()) if self._shape(k) == shape]
        square = len(shape) == 2 and shape[0] == shape[1]
        return Target(near[0]) if len(near) == 1 and not square else None

    def _shape(self, key: str) -> tuple[int, ...]:
        return tuple(self._parameters[key].shape)

    def _mapped(self, name: str) -> Target | None:
        for pattern, target in self._mapping:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            if target.initializer is None:
                return target
            try:
                key = match.expand(target.initializer)
            except (re.error, IndexError) as error:
                message = f"the mapping's '{printable(target.initializer)}' cannot be used: {error}"
                raise InvalidConfigError(message) from None
            if key not in self._parameters:
                message = f"the mapping sends '{printable(name)}' to '{printable(key)}', which is "
                message += "no weight of the model"
                raise PlanMismatchError(message, hint="see `onnxprune analyze --json`")
            return Target(key, target.transposed, target.axis)
        return None

    def _same_content(self, tensor: Tensor) -> Target | None:
        """Return the weight of the same content, if all such weights are cut in the same way."""
        array = _array(tensor)
        if array is None or array.ndim == 0:
            return None
        if self._by_content is None:
            self._by_content = {}
            for key, parameter in self._parameters.items():
                own = self._analysis.model.array(parameter.tensor)
                if own.dtype not in (np.float16, np.float32, np.float64):
                    continue
                self._by_content.setdefault(_digest(own), []).append(Target(key))
                if own.ndim == 2:
                    turned = Target(key, transposed=True)
                    self._by_content.setdefault(_digest(own.T), []).append(turned)
        found = self._by_content.get(_digest(array), [])
        return found[0] if len(found) == 1 else None


class _Cutter:
    """Cuts tensors as the initializers that they follow."""

    def __init__(self, original: Analysis, repaired: Analysis, removed: NDArray[np.bool_]) -> None:
        self._original, self._repaired, self._removed = original, repaired, removed

    def cut(self, name: str, tensor: Tensor, target: Target, report: StateDictReport) -> Tensor:
        if target.initializer is None:
            report.kept.append(name)
            return tensor
        key = target.initializer
        shape = tuple(self._original.deps.ctx.parameters[key].shape)
        own = tuple(tensor["shape"])
        wanted = shape[::-1] if target.transposed else shape
        if target.axis is not None or (len(own) == 1 and len(shape) > 1):
            return self._vector(name, tensor, key, target.axis or 0, report)
        if own != wanted:
            message = f"tensor '{printable(name)}' has shape {list(own)}, '{printable(key)}' wants "
            message += f"{list(wanted)}"
            raise PlanMismatchError(message, hint="the checkpoint is of another architecture")
        elements = np.frombuffer(tensor["data"], f"V{_SIZES[tensor['dtype']]}").reshape(own)
        new = self._new_content(key, tensor, transposed=target.transposed)
        if new is not None:
            report.repaired.append(name)
            elements = new.view(f"V{new.itemsize}")
        cut = self._cut_of(key)
        turned = cut(elements.T).T if target.transposed else cut(elements)
        if cut.cut:
            report.cut[name] = key
        else:
            report.kept.append(name)
        return _like(tensor, np.ascontiguousarray(turned))

    def _cut_of(self, key: str) -> ParameterCut:
        ctx = self._repaired.deps.ctx
        factors = ctx.sources.get(key, ())
        return ParameterCut(key, ctx.parameters[key].shape, factors, self._removed)

    def _vector(
        self, name: str, tensor: Tensor, key: str, axis: int, report: StateDictReport
    ) -> Tensor:
        """Cut a tensor of one axis, a folded normalisation's say, along with one of a weight."""
        shape = self._original.deps.ctx.parameters[key].shape
        if axis >= len(shape) or tensor["shape"] != [shape[axis]]:
            message = f"tensor '{printable(name)}' has shape {tensor['shape']}, axis {axis} of "
            message += f"'{printable(key)}' of shape {list(shape)} does not fit"
            raise PlanMismatchError(message)
        labels = np.zeros(shape, np.int32)
        labels += np.arange(shape[axis], dtype=np.int32).reshape(
            [-1 if a == axis else 1 for a in range(len(shape))]
        )
        rest = self._cut_of(key)(labels)
        kept = np.unique(rest)
        elements = np.frombuffer(tensor["data"], f"V{_SIZES[tensor['dtype']]}")[kept]
        report.cut[name] = key
        return _like(tensor, elements)

    def _new_content(self, key: str, tensor: Tensor, *, transposed: bool) -> np.ndarray | None:
        """Return the repaired content where the tensor is still the one that was repaired."""
        if self._repaired is self._original:
            return None
        old = self._original.model.array(self._original.deps.ctx.parameters[key].tensor)
        new = self._repaired.model.array(self._repaired.deps.ctx.parameters[key].tensor)
        own = _array(tensor)
        if own is None or np.array_equal(old, new):
            return None
        turned = old.T if transposed else old
        if _digest(turned) != _digest(own):
            return None
        return np.ascontiguousarray((new.T if transposed else new).astype(own.dtype))

    def notes(self, report: StateDictReport) -> list[str]:
        """Say which repaired weights found no place."""
        before = self._original.deps.ctx.parameters
        after = self._repaired.deps.ctx.parameters
        added = sorted(after.keys() - before.keys())
        notes = []
        if added:
            names = ", ".join(printable(n) for n in added[:_SHOWN])
            notes.append(f"the plan adds biases that the checkpoint has no place for: {names}")
        if not report.repaired:
            notes.append(
                "the checkpoint's weights are others than the model's: they were cut, not repaired"
            )
        return notes


def module_path(node: str) -> str:
    """Return the path of a module from the name that PyTorch's exporter gives its node.

    Examples:
        >>> module_path("/layer1/layer1.0/conv1/Conv")
        'layer1.0.conv1'
        >>> module_path("Conv_3")
        ''
    """
    parts = node.strip("/").split("/")[:-1]
    path = ""
    for number, part in enumerate(parts):
        nested = number and part.startswith(f"{parts[number - 1]}.")
        path = f"{path[: len(path) - len(parts[number - 1])]}{part}" if nested else f"{path}.{part}"
    return path.strip(".")


def _content(path: Path) -> tuple[bytes, Any]:
    try:
        content, identity = map_file(path)
    except InvalidModelError as error:
        raise InvalidConfigError(error.message, hint=error.hint) from None
    return bytes(content), identity


def _tensors(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        found = dict(sorted(safetensors.deserialize(content)))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        message = f"'{printable(path)}' is no safetensors file: {printable(error)}"
        hint = "in PyTorch: safetensors.torch.save_file(model.state_dict(), 'model.safetensors')"
        raise InvalidConfigError(message, hint=hint) from None
    for name, tensor in found.items():
        if tensor["dtype"] not in _SIZES:
            message = f"tensor '{printable(name)}' is of type {tensor['dtype']}"
            raise InvalidConfigError(message, hint=f"wanted is one of {', '.join(_SIZES)}")
    return found


def _metadata(content: bytes) -> dict[str, str] | None:
    length = int.from_bytes(content[:8], "little")
    head = json.loads(content[8 : 8 + length])
    found: dict[str, str] | None = head.get("__metadata__")
    return found


def _mapping(path: Path | None) -> dict[str, Target]:
    if path is None:
        return {}
    content, _ = _content(path)
    try:
        read = json.loads(content)
        return {str(pattern): _target(value) for pattern, value in read.items() if _is(pattern)}
    except (ValueError, TypeError, AttributeError, RecursionError, re.error) as error:
        message = f"'{printable(path)}' is no mapping: {printable(error)}"
        hint = 'write an object such as {"(.*)\\\\.bn(\\\\d)\\\\..*": "\\\\1.conv\\\\2.weight"}'
        raise InvalidConfigError(message, hint=hint) from None


def _is(pattern: str) -> bool:
    re.compile(pattern)
    return True


def _target(value: object) -> Target:
    if value is None or isinstance(value, str):
        return Target(value)
    if not isinstance(value, dict) or not value.keys() <= {"initializer", "transposed", "axis"}:
        message = f"{value!r} is neither a name, null, nor an object with an initializer"
        raise ValueError(message)
    name, transposed, axis = (value.get(k) for k in ("initializer", "transposed", "axis"))
    if not isinstance(name, str) or not (axis is None or (type(axis) is int and axis >= 0)):
        message = f"{value!r} names no initializer, or no axis"
        raise ValueError(message)
    return Target(name, bool(transposed), axis)


def _array(tensor: Tensor) -> np.ndarray | None:
    """Return the content of a tensor of a type that NumPy computes with."""
    kind = _FLOATS.get(tensor["dtype"])
    return None if kind is None else np.frombuffer(tensor["data"], kind).reshape(tensor["shape"])


def _digest(array: np.ndarray) -> tuple[tuple[int, ...], str]:
    """Return what tensors of the same values have in common, whatever their precision."""
    exact = np.ascontiguousarray(array, dtype=np.float32)
    return array.shape, hashlib.sha256(exact.tobytes()).hexdigest()


def _like(tensor: Tensor, elements: np.ndarray) -> Tensor:
    """Return other elements in the type of a tensor."""
    return {"dtype": tensor["dtype"], "shape": elements.shape, "data": elements.tobytes()}


def _serialise(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None) -> bytes:
    """Return a safetensors file: a length, a JSON header, and the data one after the other."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, tensor in tensors.items():
        start, end = end, end + len(tensor["data"])
        header[name] = {
            "dtype": tensor["dtype"], "shape": list(tensor["shape"]), "data_offsets": [start, end],
        }  # fmt: skip
    head = json.dumps(header, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    body = [bytes(tensor["data"]) for tensor in tensors.values()]
    return b"".join([len(head).to_bytes(8, "little"), head, *body])

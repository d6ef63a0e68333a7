"""Repaired weights as a file beside the plan, with digests that tie the two together."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from onnxprune.core.plan import PlanRepair
from onnxprune.errors import InvalidModelError, PlanMismatchError, printable
from onnxprune.io.files import map_file
from onnxprune.io.outfile import new_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnxprune.core.plan import PrunePlan

    Arrays = dict[str, np.ndarray]

_WEIGHT, _BIAS = "weight:", "bias:"


def save_repairs(
    path: Path, weights: Mapping[str, np.ndarray], biases: Mapping[str, np.ndarray]
) -> PlanRepair:
    """Write repaired weights; what comes back goes into the plan.

    Args:
        path: a file in the directory of the plan.
        weights: content by initializer.
        biases: new biases by the output of their node.
    """
    with new_files(path) as [file]:
        file.write(serialise(weights, biases))
    return describe_repairs(path.name, weights, biases)


def serialise(weights: Mapping[str, np.ndarray], biases: Mapping[str, np.ndarray]) -> bytes:
    """Return the content of a file of repaired weights."""
    tensors = {_WEIGHT + n: np.asarray(a, order="C") for n, a in sorted(weights.items())}
    tensors |= {_BIAS + n: np.asarray(a, order="C") for n, a in sorted(biases.items())}
    return bytes(save(tensors))


def describe_repairs(
    name: str, weights: Mapping[str, np.ndarray], biases: Mapping[str, np.ndarray]
) -> PlanRepair:
    """Return what a plan says of repaired weights in a file of the given name."""
    return PlanRepair(
        file=name,
        weights={n: _digest(a) for n, a in sorted(weights.items())},
        biases={n: _digest(a) for n, a in sorted(biases.items())},
    )


def load_repairs(plan: PrunePlan, directory: Path) -> tuple[Arrays, Arrays]:
    """Return the repaired weights and new biases that a plan names, none if it names none.

    Raises:
        PlanMismatchError: the file is missing, damaged, or belongs to another plan.
    """
    if plan.repair is None:
        return {}, {}
    name = plan.repair.file
    if "/" in name or "\\" in name or name in ("", ".", ".."):
        message = f"the plan's repaired weights are in '{printable(name)}', which is no file name"
        raise PlanMismatchError(message)
    try:
        content, _ = map_file(directory / name)
        tensors = load(bytes(content))
    except InvalidModelError as error:
        raise PlanMismatchError(error.message, hint=error.hint) from None
    except (SafetensorError, ValueError, KeyError) as error:
        message = f"'{printable(name)}' holds no repaired weights: {printable(error)}"
        raise PlanMismatchError(message) from None
    wanted = {_WEIGHT + n: d for n, d in plan.repair.weights.items()}
    wanted |= {_BIAS + n: d for n, d in plan.repair.biases.items()}
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in wanted or key not in tensors or _digest(tensors[key]) != wanted[key]:
            message = f"'{printable(name)}' does not belong to the plan: '{printable(key)}' differs"
            raise PlanMismatchError(message, hint="keep the plan and its weights together")
    weights = {n: tensors[_WEIGHT + n] for n in plan.repair.weights}
    return weights, {n: tensors[_BIAS + n] for n in plan.repair.biases}


def _digest(array: np.ndarray) -> str:
    head = f"{array.dtype.str}{list(array.shape)}".encode()
    return hashlib.sha256(head + np.asarray(array, order="C").tobytes()).hexdigest()

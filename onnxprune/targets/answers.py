"""Unpickle what another interpreter or machine answers, which may be anybody's.

A pickle names classes and functions and calls them. Here only values can be named: dataclasses and
errors of this package, arrays of NumPy, and what Python builds its own values and errors from.
"""

from __future__ import annotations

import builtins
import importlib
import io
import pickle
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, Final

from onnxprune.errors import OnnxPruneError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["load_answer"]

_OURS: Final = "onnxprune."
_VALUES: Final = frozenset({"bytearray", "complex", "frozenset", "range", "set", "slice"})

# NumPy 1 calls `core` what NumPy 2 calls `_core`.
_NUMPY: Final = {
    ("numpy", "dtype"): "numpy",
    ("numpy", "ndarray"): "numpy",
    ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("numpy.core.multiarray", "scalar"): "numpy._core.multiarray",
    ("numpy.core.numeric", "_frombuffer"): "numpy._core.numeric",
    ("numpy._core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("numpy._core.multiarray", "scalar"): "numpy._core.multiarray",
    ("numpy._core.numeric", "_frombuffer"): "numpy._core.numeric",
}


def load_answer(body: bytes | bytearray, buffers: Sequence[bytearray] = ()) -> object:
    """Return the object.

    Args:
        body: The pickle.
        buffers: The bytes of its arrays.

    Raises:
        pickle.UnpicklingError: It is none, or names something else than a value.
    """
    try:
        value: object = _Unpickler(io.BytesIO(body), buffers=buffers).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # broken pickles raise anything
        message = f"{type(error).__name__}: {error}"
        raise pickle.UnpicklingError(message) from error
    return value


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  # as its base
        if module == "builtins" and "." not in name:
            found = getattr(builtins, name, None)
            if name in _VALUES or _is_error(found, Exception):
                return found
        elif (module, name) in _NUMPY:
            return getattr(importlib.import_module(_NUMPY[module, name]), name)
        elif (module, name) == ("onnxprune.errors", "_rebuilt"):
            return super().find_class(module, name)
        elif module.startswith(_OURS) and "__" not in module and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and (
                is_dataclass(found) or _is_error(found, OnnxPruneError)
            ):
                return found
        message = f"'{module}.{name}' is no value"
        raise pickle.UnpicklingError(message)


def _is_error(found: object, base: type) -> bool:
    return isinstance(found, type) and issubclass(found, base)

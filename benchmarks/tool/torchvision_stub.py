"""Import torchvision's model definitions beside a PyTorch its compiled operators do not fit.

The torchvision wheel of PyPI is built against the CUDA build of PyTorch. Beside a CPU build its
extension cannot be loaded, and the import then fails altogether: torchvision attaches shape
functions to two operators, ``nms`` and ``qnms``, which only that extension declares. The networks
that the benchmarks export call none of the compiled operators, so it is enough to declare these
two, without an implementation. Calling one still fails, with torchvision's own message about
missing operators.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from types import ModuleType

DECLARED = ("nms", "qnms")
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def import_torchvision() -> ModuleType:
    """Import torchvision, with its operators if they load and without them if not.

    Returns:
        The module, ``torchvision.models`` included.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
    """
    if not _operators_load():
        _declare_operators()
    with warnings.catch_warnings():
        # The image reader is a second extension that cannot load either; nothing here uses it.
        warnings.filterwarnings("ignore", message="Failed to load image Python extension")
        return importlib.import_module("torchvision")


def _operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.submodule_search_locations is None:
        msg = "torchvision is not installed; run pip install --no-deps torchvision pillow"
        raise ModuleNotFoundError(msg, name="torchvision")
    extensions = [p for d in spec.submodule_search_locations for p in Path(d).glob("_C*")]
    try:
        for extension in extensions:
            torch.ops.load_library(str(extension))
    except OSError:
        return False
    return bool(extensions)


@functools.cache
def _declare_operators() -> torch.library.Library:
    """Declare the operators; the cache keeps the library alive, and with it the declarations."""
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in DECLARED:
        library.define(name + SCHEMA)
    return library

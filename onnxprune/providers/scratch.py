"""A working directory for providers that write what they compile into it, whatever it is.

Runs in other interpreters, whose environments may lack the packages that this one has.
"""

from __future__ import annotations

import importlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["in_scratch_directory"]


def in_scratch_directory(
    target: str, kwargs: Mapping[str, Any], *, progress: Callable[[int, int], None] | None = None
) -> Any:  # noqa: ANN401  # what the target returns
    """Call a function in a working directory of its own, which is removed afterwards.

    Meant for a child process: the working directory is that of all threads.
    """
    module, _, name = target.partition(":")
    function = getattr(importlib.import_module(module), name)
    before = Path.cwd()
    # What a library still writes when it is unloaded may come after the directory has gone.
    with tempfile.TemporaryDirectory(prefix="onnxprune-", ignore_cleanup_errors=True) as folder:
        os.chdir(folder)
        try:
            return function(**kwargs, **({"progress": progress} if progress else {}))
        finally:
            os.chdir(before)

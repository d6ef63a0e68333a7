"""Ask onnx's checker about a file. Meant for a child process: the file may be a stranger's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from pathlib import Path


def new_complaint(original: Path, pruned: Path) -> str:
    """Return what the checker has against the pruned file and not against the original, or ""."""
    found = complaint(pruned)
    return "" if found and complaint(original) else found


def complaint(path: Path) -> str:
    """Return the first line of what onnx's checker has against a file, "" when it has nothing."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:  # noqa: BLE001  # the checker and inference raise what they like
        return str(error).strip().split("\n", 1)[0] or type(error).__name__
    return ""

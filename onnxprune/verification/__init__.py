"""Prove that a pruned model equals its masked original."""

from __future__ import annotations

from onnxprune.verification.equivalence import (
    Verification,
    compare_files,
    runnable_recipe,
    verify_cut,
)

__all__ = ["Verification", "compare_files", "runnable_recipe", "verify_cut"]

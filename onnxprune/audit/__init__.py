"""Whom a pruned model has forgotten: samples, classes and subgroups, confidence, robustness."""

from __future__ import annotations

from onnxprune.audit.document import AuditReport
from onnxprune.audit.run import audit

__all__ = ["AuditReport", "audit"]

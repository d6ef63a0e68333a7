"""What can be limited: a module for each kind of measurement, listed here in order of cost."""

from __future__ import annotations

# isort: off
# The order of the report: files first, then what runs the models.
from onnxprune.gate.probes import provenance, size, operators
from onnxprune.gate.probes import (
    proof,
    fidelity,
    metric,
    groups,
    footprint,
    latency,
)

# isort: on
from onnxprune.gate.probes.registry import PROBES, Probe, given_limits

__all__ = [
    "PROBES",
    "Probe",
    "fidelity",
    "footprint",
    "given_limits",
    "groups",
    "latency",
    "metric",
    "operators",
    "proof",
    "provenance",
    "size",
]

"""Execution providers: what is known of each, whether it is here, and whether it really runs."""

from __future__ import annotations

from onnxprune.providers.facts import Package, ProviderFacts
from onnxprune.providers.registry import PROVIDERS, find_provider, register_provider
from onnxprune.providers.spec import ProviderSpec, parse_spec

__all__ = [
    "PROVIDERS",
    "Package",
    "ProviderFacts",
    "ProviderSpec",
    "find_provider",
    "parse_spec",
    "register_provider",
]

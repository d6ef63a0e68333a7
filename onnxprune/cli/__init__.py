"""The command line: one module per command, and what they have in common."""

from __future__ import annotations

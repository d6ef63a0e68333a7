"""Operators that need no rule: the analysis understands them by itself."""

from __future__ import annotations

HANDLED = {
    "Constant": "A weight like any initializer.",
    "Shape": "Carries no channels; arithmetic with the result follows the cut, or keeps its value.",
    "Size": "Carries no channels; arithmetic with the result follows the cut, or keeps its value.",
}
"""How, by operator."""

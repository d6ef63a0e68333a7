"""Where calls are made: another interpreter here, a machine behind SSH, a device behind adb."""

from __future__ import annotations

from onnxprune.targets.parse import parse_target, places
from onnxprune.targets.target import Interpreter, Target

__all__ = ["Interpreter", "Target", "parse_target", "places"]

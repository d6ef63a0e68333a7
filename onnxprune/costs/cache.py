"""Where measured costs are kept: one file per machine, provider and versions.

A file that cannot be read is as good as none; one that cannot be written costs time, not results.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Identity", "Times", "cache_directory", "read_measured", "write_measured"]

_FORMAT = "onnxprune.cost-table/1"

Times: TypeAlias = dict[str, float | None]
"""Microseconds by layer or copy; None for what the provider does not take."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What times hold for.

    Attributes:
        provider: the provider as the user asked for it.
        threads: threads within an operator.
        runtime: version of ONNX Runtime.
        library: version of what brings the provider, "" when that is the runtime.
        cpu: the processor.
        cores: how many of them there are.
    """

    provider: str
    threads: int
    runtime: str
    library: str
    cpu: str
    cores: int

    @property
    def file_name(self) -> str:
        """Name of the file that holds the times."""
        text = json.dumps([asdict(self), platform.machine(), sys.platform], sort_keys=True)
        return f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def cache_directory(environment: Mapping[str, str] | None = None) -> Path:
    """Return the directory of all caches: $XDG_CACHE_HOME/onnxprune, or what the system has.

    Args:
        environment: variables, by default those of this process.

    Examples:
        >>> cache_directory({"XDG_CACHE_HOME": "/var/cache/me"}).as_posix()
        '/var/cache/me/onnxprune'
    """
    known = os.environ if environment is None else environment
    base = known.get("XDG_CACHE_HOME", "")
    if base and Path(base).is_absolute():  # the specification ignores others
        return Path(base) / "onnxprune"
    if sys.platform == "win32" and known.get("LOCALAPPDATA"):
        return Path(known["LOCALAPPDATA"]) / "onnxprune" / "Cache"
    try:
        home = Path.home()
    except RuntimeError:  # a user without one
        return Path(tempfile.gettempdir()) / "onnxprune-cache"
    return home / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "onnxprune"


def read_measured(identity: Identity, directory: Path) -> Times:
    """Return what is kept for an identity, nothing when the file is missing or broken."""
    try:
        content = json.loads((directory / "costs" / identity.file_name).read_bytes())
        if content["format"] != _FORMAT or content["identity"] != asdict(identity):
            return {}
        return {str(k): _time(v) for k, v in content["us"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def write_measured(identity: Identity, measured: Times, directory: Path) -> bool:
    """Keep times, those that others wrote in the meantime included.

    Returns:
        Whether they could be written.
    """
    known = read_measured(identity, directory)
    content = {
        "format": _FORMAT,
        "identity": asdict(identity),
        "us": dict(sorted({**known, **measured}.items())),
    }
    folder = directory / "costs"
    partial = ""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, partial = tempfile.mkstemp(suffix=".partial", dir=folder)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=0)
        Path(partial).replace(folder / identity.file_name)
    except OSError:
        with contextlib.suppress(OSError):
            Path(partial or folder / "none").unlink(missing_ok=True)
        return False
    return True


def _time(value: Any) -> float | None:  # noqa: ANN401  # whatever a file holds
    if value is None:
        return None
    number = float(value)
    if not 0.0 < number < 1e12:
        message = f"{number} is no time"
        raise ValueError(message)
    return number

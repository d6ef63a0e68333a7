"""What a directory of results was made from, so that only what changed is made again."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.outfile import new_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["State", "digest_of", "digest_of_code", "digest_of_file"]

_STEP_BYTES = 1 << 20


class _Entry(BaseModel):
    key: str
    files: dict[str, str]


class State:
    """The record of a directory: for every step what it was made from, and what it made.

    Args:
        path: the file of the record.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: dict[str, _Entry] = {}
        try:
            read = json.loads(path.read_bytes())["steps"]
            self._entries = {name: _Entry.model_validate(entry) for name, entry in read.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
            pass  # nothing is known, so everything is made

    def is_fresh(self, step: str, key: str) -> bool:
        """Tell whether a step was made from the same, and its files are as it left them."""
        entry = self._entries.get(step)
        folder = self._path.parent
        return (
            entry is not None
            and entry.key == key
            and all(digest_of_file(folder / n) == d for n, d in entry.files.items())
        )

    def record(self, step: str, key: str, files: Iterable[Path]) -> None:
        """Remember a step that is done; the record appears whole or not at all."""
        names = {p.name: digest_of_file(p) for p in files if p.exists()}
        self._entries[step] = _Entry(key=key, files=names)
        steps = {name: entry.model_dump() for name, entry in self._entries.items()}
        text = json.dumps({"format": "onnxprune.state/1", "steps": steps}, indent=1)
        with new_files(self._path) as [file]:
            file.write(f"{text}\n".encode())


def digest_of(values: Mapping[str, Any]) -> str:
    """Return one digest for many values."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the digest of a file, or of a directory's files and their names; "" for nothing."""
    if path.is_dir():
        found = {p.name: digest_of_file(p) for p in sorted(path.iterdir()) if p.is_file()}
        return digest_of(found)
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_STEP_BYTES):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()


def digest_of_code(entry: str) -> str:
    """Return the digest of the file that `module:function` is in.

    Raises:
        InvalidConfigError: there is no such module.
    """
    module = entry.partition(":")[0]
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        message = f"'{printable(entry)}': there is no module '{printable(module)}'"
        raise InvalidConfigError(message, hint="name it as module:function")
    return digest_of_file(Path(spec.origin))

"""Find and read a configuration file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onnxprune.config.document import Config
from onnxprune.config.section import parse_section
from onnxprune.errors import InvalidConfigError, printable

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILE_NAMES", "ConfigFile", "find_config", "read_config"]

FILE_NAMES = ("onnxprune.toml", "pyproject.toml")
"""Files that are looked for in the working directory; the first that there is counts."""

_MOST_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """A configuration and where it came from.

    Attributes:
        path: The file.
        config: Its content.
    """

    path: Path
    config: Config

    @property
    def folder(self) -> Path:
        """What relative paths in it are relative to."""
        return self.path.parent


def find_config(folder: Path) -> ConfigFile | None:
    """Read the configuration of a folder; a pyproject.toml without our table is none.

    Raises:
        InvalidConfigError: There is a file, and it cannot be used.
    """
    for name in FILE_NAMES:
        path = folder / name
        if path.is_file() and _table(path) is not None:
            return read_config(path)
    return None


def read_config(path: Path) -> ConfigFile:
    """Read a configuration file.

    Raises:
        InvalidConfigError: It is missing, no TOML, or has keys or values that are not known.
    """
    table = _table(path)
    where = f"'{printable(path)}'"
    if table is None:
        message = f"{where} has no table [tool.onnxprune]"
        raise InvalidConfigError(message, hint="`onnxprune init MODEL` writes an onnxprune.toml")
    return ConfigFile(path, parse_section(Config, table, where=where, folder=path.parent))


def _table(path: Path) -> dict[str, Any] | None:
    """Return our table of a file; onnxprune.toml may leave out the `tool.onnxprune` in front."""
    where = f"'{printable(path)}'"
    if not path.is_file():  # a named pipe would never answer
        message = f"configuration {where} {'is no file' if path.exists() else 'does not exist'}"
        raise InvalidConfigError(message)
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            message = f"{where} is no configuration: it is larger than {_MOST_BYTES} bytes"
            raise InvalidConfigError(message)
        document = tomllib.loads(content.decode())
    except OSError as error:
        message = f"configuration {where} cannot be read: {error.strerror}"
        raise InvalidConfigError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        message = f"{where} is no TOML: {printable(error)}"
        raise InvalidConfigError(message) from None
    tools = document.get("tool")
    ours = tools.get("onnxprune") if isinstance(tools, dict) else None
    if ours is not None and not isinstance(ours, dict):
        message = f"{where}: 'tool.onnxprune' is no table"
        raise InvalidConfigError(message)
    if path.name == "pyproject.toml":
        return ours
    if ours is None:
        return document
    if len(document) > 1 or (isinstance(tools, dict) and len(tools) > 1):
        message = f"{where} has tables both inside and outside of [tool.onnxprune]"
        raise InvalidConfigError(message, hint="write [check] or [tool.onnxprune.check], not both")
    return ours

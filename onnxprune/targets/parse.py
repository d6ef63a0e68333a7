"""How users name a target: `ssh://[user@]host[:port]` or `adb[://SERIAL]`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.targets.adb import Adb
from onnxprune.targets.ssh import Ssh

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnxprune.targets.target import Target

__all__ = ["parse_target", "places"]

_PYTHON: Final = "python3"
_MOST_PORT: Final = 65535

# No name starts with a hyphen: ssh and adb would take it for an option.
_SSH: Final = re.compile(
    r"ssh://(?:(?P<user>[A-Za-z0-9_][A-Za-z0-9_.+-]*)@)?"
    r"(?:(?P<host>[A-Za-z0-9_][A-Za-z0-9_.-]*)|\[(?P<address>[0-9A-Fa-f:.]+(?:%[A-Za-z0-9]+)?)\])"
    r"(?::(?P<port>[0-9]{1,5}))?/?"
)
_ADB: Final = re.compile(r"adb(?:://(?P<serial>[A-Za-z0-9_][A-Za-z0-9_.:-]*)?)?")


def parse_target(text: str) -> Target:
    """Parse what a user wrote.

    Raises:
        InvalidConfigError: It names no target.

    Examples:
        >>> parse_target("ssh://pi@board.local:2222").command(["nproc"])[-6:]
        ['pi', '-p', '2222', '--', 'board.local', 'exec nproc']
        >>> parse_target("adb").text
        'adb'
    """
    if found := _SSH.fullmatch(text):
        port = int(found["port"]) if found["port"] else None
        if port is None or 0 < port <= _MOST_PORT:
            host = found["host"] or found["address"]
            return Ssh(_PYTHON, host=host, user=found["user"], port=port)
    if found := _ADB.fullmatch(text):
        return Adb(_PYTHON, serial=found["serial"])
    message = f"'{printable(text)}' names no target"
    raise InvalidConfigError(message, hint="wanted: ssh://[user@]host[:port], adb or adb://SERIAL")


def places(pythons: Mapping[str, Path] | None, target: Target | None) -> dict[str, Path | Target]:
    """Return where the providers are: interpreters here, or those of a target.

    Args:
        pythons: Interpreters by provider's name; "" is for all others.
        target: Where these are; None for this machine.
    """
    if target is None:
        return dict(pythons or {})
    named = {name: replace(target, python=str(p)) for name, p in (pythons or {}).items()}
    return {"": target, **named}

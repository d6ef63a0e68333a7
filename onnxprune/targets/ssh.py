"""A machine behind SSH: any board, server or phone whose login works without a password."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.targets.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Ssh"]

# Nobody is asked for a password, nothing is forwarded, and a dead connection ends.
_OPTIONS: Final = (
    "-T", "-x", "-a", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15",
    "-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4",
)  # fmt: skip
_OWN_STATUS: Final = 255
_NOT_FOUND: Final = 127


@dataclass(frozen=True)
class Ssh(Remote):
    """A machine that OpenSSH's client reaches; `~/.ssh/config` counts as always.

    Attributes:
        host: Its name, its address, or what `~/.ssh/config` calls it.
        user: Who logs in there; the configuration's by default.
        port: Where; the configuration's by default.
    """

    root: ClassVar[str] = "~/.cache/onnxprune/targets"
    host: str
    user: str | None = None
    port: int | None = None

    @property
    def text(self) -> str:
        """The machine as an address."""
        user = f"{self.user}@" if self.user else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"ssh://{user}{host}" + (f":{self.port}" if self.port else "")

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command of the client; its last word is for the shell there, quoted."""
        user = ["-l", self.user] if self.user else []
        port = ["-p", str(self.port)] if self.port else []
        return ["ssh", *_OPTIONS, *user, *port, "--", self.host, f"exec {shlex.join(words)}"]

    def send(self, source: Path, place: str, name: str, digest: str) -> None:
        """Copy a file through stdin: SFTP is not everywhere."""
        self.helper("take", place, name, digest, "-", stdin=source)

    def failure(self, status: int, said: str) -> ProviderUnavailableError:
        """Tell apart what the client says, and what the machine says."""
        if status == _NOT_FOUND:
            message = f"{self} is not there"
            return ProviderUnavailableError(message, hint="name another with --python")
        if status != _OWN_STATUS:
            return super().failure(status, said)
        lines = said.strip().splitlines() or ["nothing"]
        message = f"{printable(self.text)} cannot be reached; ssh says: {printable(lines[-1])}"
        hint = "the same has to work without a question: " + " ".join(
            ["ssh", *(["-l", printable(self.user)] if self.user else []),
             *(["-p", str(self.port)] if self.port else []), printable(self.host), "true"]
        )  # fmt: skip
        return ProviderUnavailableError(message, hint=hint)

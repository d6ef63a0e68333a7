"""An Android device behind adb, with an interpreter that the user of adb's shell may run."""

from __future__ import annotations

import secrets
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.targets.remote import Remote

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Adb"]

_OWN_WORDS: Final = ("adb:", "error:", "* ")
_NOT_FOUND: Final = 127


@dataclass(frozen=True)
class Adb(Remote):
    """A device that adb reaches.

    Attributes:
        serial: Which one, as `adb devices` lists it; None where there is only one.
    """

    root: ClassVar[str] = "/data/local/tmp/onnxprune"
    serial: str | None = None

    @property
    def text(self) -> str:
        """The device as an address."""
        return f"adb://{self.serial}" if self.serial else "adb"

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command of adb; its last word is for the shell there, quoted.

        Without a terminal (-T), adb passes bytes as they are. Temporary files go where the shell's
        user may write: Android has no /tmp.
        """
        there = f"TMPDIR={shlex.quote(self.root)} exec {shlex.join(words)}"
        return [*self._adb(), "shell", "-T", there]

    def send(self, source: Path, place: str, name: str, digest: str) -> None:
        """Push a file, and let the device compare its digest."""
        arrived = f"{place}/incoming-{secrets.token_hex(8)}"
        done = self.run([*self._adb(), "push", str(source), arrived])
        if done.returncode:
            said = (done.stderr.strip() or done.stdout).decode("utf-8", "replace")
            raise self.failure(done.returncode, said)
        self.helper("take", place, name, digest, arrived)

    def failure(self, status: int, said: str) -> ProviderUnavailableError:
        """Tell apart what adb says, and what the device says."""
        lines = said.strip().splitlines() or ["nothing"]
        if status == _NOT_FOUND:
            message = f"{self} is not there"
            return ProviderUnavailableError(message, hint="name another with --python")
        if not lines[-1].startswith(_OWN_WORDS):
            return super().failure(status, said)
        message = f"{printable(self.text)} cannot be reached; adb says: {printable(lines[-1])}"
        hint = "`adb devices` has to list it as `device`; name one of several: adb://SERIAL"
        return ProviderUnavailableError(message, hint=hint)

    def _adb(self) -> list[str]:
        return ["adb", *(["-s", self.serial] if self.serial else [])]

"""What a target is, and the nearest of them: another interpreter on this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.errors import ProviderUnavailableError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Interpreter", "Target"]


@dataclass(frozen=True, slots=True)
class Target(ABC):
    """An interpreter somewhere, whose environment has NumPy and an ONNX Runtime.

    Attributes:
        python: The interpreter, as it is called there.
    """

    python: str

    @property
    @abstractmethod
    def text(self) -> str:
        """The target, as a user names it."""

    @abstractmethod
    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command here that runs a command there, with its standard streams."""

    @abstractmethod
    def package(self) -> str:
        """Return what to import this package from there; it is copied if need be.

        Raises:
            ProviderUnavailableError: There is no reaching the target.
        """

    @abstractmethod
    def located(self, model: Path) -> str:
        """Return where a model is there; it is copied if need be.

        Raises:
            ProviderUnavailableError: There is no reaching the target.
            InvalidModelError: The model cannot be read.
        """

    def failure(self, status: int, said: str) -> ProviderUnavailableError:
        """Return the error of a command that did not do there what it should.

        Args:
            status: What it left with.
            said: What it wrote to stderr.
        """
        lines = said.strip().splitlines() or ["nothing"]
        message = f"{self}: left with status {status} and without an answer; its last words: "
        hint = "its environment needs Python 3.11 or newer, numpy and a build of ONNX Runtime"
        return ProviderUnavailableError(message + printable(lines[-1].strip()), hint=hint)

    def __str__(self) -> str:
        return f"interpreter '{printable(self.python)}' of {printable(self.text)}"


@dataclass(frozen=True, slots=True)
class Interpreter(Target):
    """An interpreter on this machine: everything is there already."""

    @property
    def text(self) -> str:
        """This machine."""
        return "this machine"

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command itself."""
        return list(words)

    def package(self) -> str:
        """Return the directory that this package lies in."""
        return str(Path(__file__).absolute().parents[2])

    def located(self, model: Path) -> str:
        """Return the path as it is."""
        return str(model)

"""Every error the package raises on purpose, and how text that strangers wrote is shown in one.

An error is one message: what happened, where, what was seen and what was wanted; the optional hint
says what to try. The command line turns `exit_code` into the process's exit status, so scripts can
tell a failed check (1) from bad input (2), an inconclusive measurement (3) and a defect of this
program (4).
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DuplicateRuleError",
    "InternalError",
    "InvalidConfigError",
    "InvalidModelError",
    "NothingToPruneError",
    "OnnxPruneError",
    "PlanMismatchError",
    "PluginError",
    "ProviderUnavailableError",
    "RuleError",
    "TargetError",
    "VerificationError",
    "printable",
]

# Longer names are cut in the middle: both ends of an exporter's path-like name carry meaning.
_NAME_LIMIT = 200

# Categories that a terminal, a log or a reader can be fooled with: controls (Cc: escapes,
# newlines), format characters (Cf: bidirectional overrides, zero-width), line and paragraph
# separators, lone surrogates, private use and unassigned code points.
_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn"})


def printable(name: object, *, limit: int = _NAME_LIMIT) -> str:
    r"""Return text from a model so that it is safe on one line of a terminal or log.

    Control characters, terminal escapes, bidirectional overrides and other characters that do not
    show as themselves become backslash escapes, and so does the second of two number signs, with
    which build services start commands (`##vso[`, `##teamcity[`); a backslash is doubled, so that
    two different names never look the same.

    Args:
        name: A name as the model has it; bytes that are no UTF-8 are escaped one by one.
        limit: Longest result in characters; the middle of a longer name is cut out.

    Returns:
        The escaped text, without quotes.

    Examples:
        >>> printable("conv\x1b[31m1")
        'conv\\x1b[31m1'
    """
    text = name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else str(name)
    if len(text) > limit:
        text = f"{text[: limit // 2]}...{text[-limit // 2 :]}"
    if text.isascii() and text.isprintable() and "\\" not in text and "##" not in text:
        return text
    shown = "".join(_printable_character(character) for character in text)
    return shown.replace("##", "#\\x23")


def _printable_character(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if unicodedata.category(character) not in _HIDDEN_CATEGORIES:
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as surrogateescape carries it
        return f"\\x{code - 0xDC00:02x}"
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


class OnnxPruneError(Exception):
    """Base of all errors raised on purpose.

    Args:
        message: What happened, where, what was seen and what was wanted.
        hint: What to try next, when there is something to try.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message

    def __reduce__(self) -> tuple[Callable[..., OnnxPruneError], tuple[object, ...]]:
        # Errors cross process boundaries, and the default would lose the hint.
        return _rebuilt, (type(self), self.message, self.hint)


def _rebuilt(kind: type[OnnxPruneError], message: str, hint: str | None) -> OnnxPruneError:
    return kind(message, hint=hint)


class InvalidModelError(OnnxPruneError):
    """A file is no ONNX model, or one that cannot be right, or one that is not safe to read."""


class InvalidConfigError(OnnxPruneError):
    """An option, a setting or a path given by the user cannot be used."""


class PlanMismatchError(OnnxPruneError):
    """A plan does not fit the model, the weights or the plug-ins it is applied with."""


class VerificationError(OnnxPruneError):
    """The pruned model does not do what the plan promises."""

    exit_code: ClassVar[int] = 1


class NothingToPruneError(OnnxPruneError):
    """No channel may be removed from the model under the given limits."""

    exit_code: ClassVar[int] = 1


class TargetError(OnnxPruneError):
    """The requested size, cost or latency cannot be reached under the given limits."""

    exit_code: ClassVar[int] = 1


class RuleError(OnnxPruneError):
    """A rule says something about its operator that cannot be true."""


class DuplicateRuleError(RuleError):
    """Two rules claim the same operator and version."""


class PluginError(OnnxPruneError):
    """A plug-in cannot be imported, or does not keep to the interface."""


class ProviderUnavailableError(OnnxPruneError):
    """An execution provider is not installed, not usable here, or did not run the model."""

    exit_code: ClassVar[int] = 3


class InternalError(OnnxPruneError):
    """A defect of this program: an invariant of its own does not hold."""

    exit_code: ClassVar[int] = 4

"""Errors as one message: what, where, seen and wanted, what to try."""

from __future__ import annotations

import errno
import sys
import traceback
from pathlib import Path

import click

from onnxprune.errors import InternalError, OnnxPruneError, printable

_MOST_LINES = 20
_MOST_COLUMNS = 2000
_INTERRUPTED = 130


def is_debug(context: click.Context | None) -> bool:
    """Tell whether `--debug` was given."""
    return context is not None and bool(context.meta.get(is_debug.__name__))


def report_failure(error: BaseException, *, debug: bool) -> int:  # one per kind
    """Write an error to stderr and return the exit status it stands for.

    Args:
        error: The error.
        debug: Whether to show the traceback as well.
    """
    if isinstance(error, KeyboardInterrupt | click.Abort):
        _write(["onnxprune: interrupted"])
        return _INTERRUPTED
    if debug:
        _write(safe("".join(traceback.format_exception(error))).splitlines(), limit=None)
    if isinstance(error, click.ClickException):
        return _usage(error)
    if isinstance(error, InternalError):
        return _defect(error, error.message)
    if isinstance(error, OnnxPruneError):
        _write([f"error: {error.message}", *([f"try: {error.hint}"] if error.hint else [])])
        return error.exit_code
    if isinstance(error, OSError) and error.errno in _ENVIRONMENT:
        name = f"'{printable(error.filename)}': " if error.filename else ""
        _write([f"error: {name}{error.strerror}"])
        return 2
    if isinstance(error, MemoryError):
        _write(["error: this machine has too little memory for it"])
        return 2
    kind = type(error)
    return _defect(error, f"{kind.__name__}: {printable(str(error), limit=500)}")


_ENVIRONMENT = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.EIO}
)
"""What the system refuses for reasons that are not ours."""


def safe(text: str) -> str:
    """Return a message with everything escaped that could fool a terminal, line breaks excepted.

    Names in messages are escaped already; this is the second line of defence.
    """
    return "".join(c if c in "\n\\" else printable(c) for c in text)


def _usage(error: click.ClickException) -> int:
    context = error.ctx if isinstance(error, click.UsageError) else None
    lines = [f"error: {error.format_message()}"]
    if context is not None:
        lines.append(f"try: {context.command_path} --help")
    _write(lines)
    return 2


def _defect(error: BaseException, what: str) -> int:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "onnxprune" in f.filename] or frames
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    _write(
        [
            f"error: internal: {what}{place}",
            "this is a defect of onnxprune: report it, with what --debug prints",
        ]
    )
    return InternalError.exit_code


def _write(lines: list[str], *, limit: int | None = _MOST_LINES) -> None:
    text = [line for block in lines for line in safe(block).splitlines()]
    if limit is not None and len(text) > limit:
        text = [*text[: limit - 1], f"... and {len(text) - limit + 1} more lines"]
    try:
        for line in text:
            cut = line if limit is None else line[:_MOST_COLUMNS]
            print(cut, file=sys.stderr)
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it

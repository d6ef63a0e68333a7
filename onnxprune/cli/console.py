"""Where results and diagnostics go: stdout for the one, stderr for the other."""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from onnxprune.cli.failure import safe
from onnxprune.io.outfile import check_destination, new_files

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import RenderableType

    from onnxprune.io.files import FileIdentity
    from onnxprune.report.document import Document

STDOUT = Path("-")

# A pipe has no width: lines are as long as they are.
_PIPE_WIDTH = 1000


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        """Leave it to the entry point, which knows what to do."""
        raise BrokenPipeError


def show(*results: RenderableType) -> None:
    """Print results to stdout; plain text in long lines where it is no terminal."""
    terminal = sys.stdout.isatty()
    target = sys.stdout if terminal else io.StringIO()
    console = _Console(
        file=target, width=None if terminal else _PIPE_WIDTH, markup=False, emoji=False,
        highlight=False,
    )  # fmt: skip
    for result in results:
        console.print(safe(result) if isinstance(result, str) else result)
    if isinstance(target, io.StringIO):
        lines = target.getvalue().splitlines()
        sys.stdout.write("\n".join(line.rstrip() for line in lines) + "\n")


def rows_on_screen() -> int | None:
    """Return how many rows of a table a terminal takes comfortably, None where there is none."""
    if not sys.stdout.isatty():
        return None
    return max(20, shutil.get_terminal_size().lines - 20)


def note(text: str) -> None:
    """Print a diagnostic to stderr."""
    print(f"note: {safe(text)}", file=sys.stderr)


def write_document(document: Document | str, path: Path, inputs: Collection[FileIdentity]) -> None:
    """Write JSON or text to a file, whole or not at all, or to stdout for "-".

    Args:
        document: What to write.
        path: Where to.
        inputs: Files that must stay as they are.
    """
    text = document if isinstance(document, str) else document.to_json()
    if path == STDOUT:
        sys.stdout.write(text)
        return
    check_destination(path, inputs)
    with new_files(path) as [file]:
        file.write(text.encode())

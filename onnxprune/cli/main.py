"""The entry point: find the command, run it, and turn whatever happens into an exit status.

Exit status: 0 done or passed, 1 a check failed or nothing could be removed, 2 bad usage or bad
input, 3 inconclusive or no provider, 4 a defect of this program, 130 interrupted.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
import warnings
from typing import TYPE_CHECKING, Any

import click

from onnxprune.cli.failure import is_debug, report_failure, safe
from onnxprune.plugins import PluginWarning
from onnxprune.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = {
    "analyze": "onnxprune.cli.analyze:analyze",
    "prune": "onnxprune.cli.prune:prune",
    "plan": "onnxprune.cli.plan:plan",
    "apply": "onnxprune.cli.apply:apply",
    "verify": "onnxprune.cli.verify:verify",
    "order": "onnxprune.cli.order:order",
    "bench": "onnxprune.cli.bench:bench",
    "audit": "onnxprune.cli.audit:audit",
    "mobile": "onnxprune.cli.mobile:mobile",
    "run": "onnxprune.cli.run:run",
    "sweep": "onnxprune.cli.sweep:sweep",
    "diff": "onnxprune.cli.diff:diff",
    "report": "onnxprune.cli.report:report",
    "check": "onnxprune.cli.check:check",
    "init": "onnxprune.cli.init:init",
    "calibrate-costs": "onnxprune.cli.calibrate_costs:calibrate_costs",
    "providers": "onnxprune.cli.providers:providers",
    "rules": "onnxprune.cli.listing:rules",
    "criteria": "onnxprune.cli.listing:criteria",
    "plugins": "onnxprune.cli.listing:plugins",
    "schema": "onnxprune.cli.listing:schema",
    "demo": "onnxprune.cli.demo:demo",
}
"""Where each command is; a module is imported when its command, or the list of them, is shown."""


class Commands(click.Group):
    """A group whose commands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order of the pipeline."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


def _set_debug(ctx: click.Context, _param: click.Parameter, value: Any) -> None:  # noqa: ANN401
    if value:
        ctx.meta[is_debug.__name__] = True


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="onnxprune %(version)s")
@click.option(
    "--debug", is_flag=True, expose_value=False, callback=_set_debug,
    help="Show where in the program an error came from.",
)  # fmt: skip
def app() -> None:
    """Make trained ONNX models really smaller and faster: exactly, from any exporter.

    Start with `onnxprune demo`, or `onnxprune analyze MODEL`.
    """


def run(args: Sequence[str]) -> int:
    """Run a command line and return its exit status.

    Args:
        args: The arguments after the program's name.
    """
    root: click.Context | None = None
    try:
        with app.make_context("onnxprune", list(args) or ["--help"]) as root:
            app.invoke(root)
        sys.stdout.flush()
    except BrokenPipeError:
        return _reader_gone()
    except (click.exceptions.Exit, SystemExit) as leave:
        code = leave.exit_code if isinstance(leave, click.exceptions.Exit) else leave.code
        return code if isinstance(code, int) else 0
    except BaseException as error:  # noqa: BLE001  # everything becomes a message and a status
        return report_failure(error, debug=is_debug(root))
    return 0


def _reader_gone() -> int:
    """Be quiet when whoever read the output has left, as `head` does."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123
        # What is still in the buffer must not fail again when the interpreter leaves.
        try:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
        except (OSError, ValueError, io.UnsupportedOperation):
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    return 128 + 13


def _show_warning(message: Warning | str, *_where: Any, **_more: Any) -> None:  # noqa: ANN401
    """Write a warning to stderr as one line, without the place in the program."""
    with contextlib.suppress(OSError):
        print(f"warning: {safe(str(message))}", file=sys.stderr)


def main() -> int:
    """Run the command line of this process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name in a model may hold what the terminal's encoding has no character for.
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", category=PluginWarning)
        warnings.showwarning = _show_warning
    return run(sys.argv[1:])

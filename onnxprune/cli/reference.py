"""The command reference in README.md, made from the commands themselves.

    python -m onnxprune.cli.reference README.md

rewrites the part between the markers; with `--check` it only tells whether that would change it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from onnxprune.cli.main import COMMANDS, app
from onnxprune.planning.options import PlanOptions

BEGIN = "<!-- commands: made by `python -m onnxprune.cli.reference README.md` -->"
END = "<!-- end of commands -->"


def render() -> str:
    """Return the reference as Markdown."""
    context = click.Context(app, info_name="onnxprune")
    parts = []
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        parts.append(_command(name, command))
    return "\n\n".join(parts)


def updated(text: str) -> str:
    """Return a document with the part between the markers made anew.

    Args:
        text: The document.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert begin, f"no marker {BEGIN}"
    assert end, f"no marker {END}"
    return f"{before}{BEGIN}\n\n{render()}\n\n{END}{after}"


def _command(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join(["onnxprune", name, *(a.human_readable_name for a in arguments)])
    lines = [f"**`{usage}`**", "", " ".join((command.help or "").split()), ""]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name != "debug"]
    if name == "plan":
        options = [o for o in options if o.name not in PlanOptions.__annotations__]
        lines.append("- the options of `prune` that say what to remove")
    return "\n".join([*lines, *(_option(option) for option in options)])


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.name}"
    flag = f"{', '.join(option.opts)}{value}"
    default = ""
    if option.show_default:
        default = f" Default: {option.default}."
    return f"- `{flag}`: {option.help}{default}"


def main() -> int:
    """Rewrite a document, or check it."""
    arguments = sys.argv[1:]
    path = Path(next(a for a in arguments if not a.startswith("-")))
    before = path.read_text(encoding="utf-8")
    after = updated(before)
    if "--check" not in arguments:
        path.write_text(after, encoding="utf-8")
    return int("--check" in arguments and before != after)


if __name__ == "__main__":
    sys.exit(main())

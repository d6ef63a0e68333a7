"""The references in the documentation, made from the commands and the configuration themselves.

    python -m onnxprune.cli.reference README.md docs/ci.md

rewrites the parts between the markers; with `--check` it only tells whether that would change them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from onnxprune.cli.main import COMMANDS, app
from onnxprune.config import CheckSection, Limits
from onnxprune.planning.options import PlanOptions

BEGIN = "<!-- commands: made by `python -m onnxprune.cli.reference README.md` -->"
END = "<!-- end of commands -->"
BEGIN_KEYS = "<!-- keys: made by `python -m onnxprune.cli.reference docs/ci.md` -->"
END_KEYS = "<!-- end of keys -->"


def render() -> str:
    """Return the reference as Markdown."""
    context = click.Context(app, info_name="onnxprune")
    parts = []
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        parts.append(_command(name, command))
    return "\n\n".join(parts)


def render_keys() -> str:
    """Return the keys of the section `check` as a Markdown table."""
    lines = ["| key | what it says |", "|---|---|"]
    for name, field in CheckSection.model_fields.items():
        default = field.get_default(call_default_factory=True)
        told = f" Default: `{default}`." if default not in (None, {}, False) else ""
        rule = "" if name in Limits.model_fields else "*"
        lines.append(f"| {rule}`{field.alias}`{rule} | {field.description}{told} |")
    return "\n".join(lines)


def updated(text: str) -> str:
    """Return a document with the parts between the markers made anew.

    Args:
        text: The document.
    """
    for begin, end, make in ((BEGIN, END, render), (BEGIN_KEYS, END_KEYS, render_keys)):
        if begin in text:
            before, _, rest = text.partition(begin)
            _, found, after = rest.partition(end)
            assert found, f"no marker {end}"
            text = f"{before}{begin}\n\n{make()}\n\n{end}{after}"
    return text


def _command(name: str, command: click.Command) -> str:
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join(["onnxprune", name, *(a.human_readable_name for a in arguments)])
    lines = [f"**`{usage}`**", "", " ".join((command.help or "").split()), ""]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name != "debug"]
    if name == "plan":
        options = [o for o in options if o.name not in PlanOptions.__annotations__]
        lines.append("- the options of `prune` that say what to remove")
    if name == "check":
        options = [o for o in options if o.name not in CheckSection.model_fields]
        lines.append("- `--baseline ORIGINAL`, and an option for every key in docs/ci.md")
    return "\n".join([*lines, *(_option(option) for option in options)])


def _option(option: click.Option) -> str:
    value = "" if option.is_flag else f" {option.metavar or option.name}"
    flag = f"{', '.join(option.opts)}{value}"
    default = ""
    if option.show_default:
        default = f" Default: {option.default}."
    return f"- `{flag}`: {option.help}{default}"


def main() -> int:
    """Rewrite documents, or check them."""
    arguments = sys.argv[1:]
    stale = False
    for path in (Path(a) for a in arguments if not a.startswith("-")):
        before = path.read_text(encoding="utf-8")
        after = updated(before)
        stale |= before != after
        if "--check" not in arguments:
            path.write_text(after, encoding="utf-8")
    return int("--check" in arguments and stale)


if __name__ == "__main__":
    sys.exit(main())

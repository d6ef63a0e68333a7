"""What every command owes its user, whatever file it is given.

Commands run in a forked process with limits on memory and time: a crash, a hang or a runaway
allocation is a finding, and so are a traceback, a long message, a control character, a file left
behind after a failure, and a changed input.
"""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    Run = Callable[[Sequence[str]], int]

MOST_LINES = 20
ALLOWED = frozenset({0, 1, 2, 3})
_STUCK = 124
_PATIENCE = 20
"""How much longer than it computes a command may take on the clock of a busy machine."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one command may take.

    Attributes:
        seconds: of computing, its children included; on the clock, many times that.
        memory_bytes: address space.
    """

    seconds: float = 20.0
    memory_bytes: int = 4 << 30


LIMITS = Limits()
"""What no hostile file may exceed."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did.

    Attributes:
        code: exit status; negative when a signal ended it, 124 when it had to be stopped.
        out: its stdout.
        err: its stderr.
        seconds: of computing that it took.
    """

    code: int
    out: str
    err: str
    seconds: float


def run_limited(run: Run, args: Sequence[str], scratch: Path, limits: Limits) -> Ran:
    """Run a command line in a forked process with limits.

    Args:
        run: the entry point: arguments in, exit status out.
        args: the arguments.
        scratch: an existing folder for its output.
        limits: what it may take.
    """
    out, err = scratch / "stdout", scratch / "stderr"
    child = os.fork()
    if child == 0:
        _become(run, args, out, err, limits)
    code, took = _wait(child, time.monotonic() + _PATIENCE * limits.seconds)
    if took > limits.seconds:
        code = _STUCK
    texts = [p.read_text(errors="surrogateescape") for p in (out, err)]
    return Ran(code, texts[0], texts[1], took)


def _become(run: Run, args: Sequence[str], out: Path, err: Path, limits: Limits) -> None:
    import resource  # noqa: PLC0415  # not everywhere

    code = 70
    try:
        os.setsid()
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
        sys.stdout = os.fdopen(1, "w", errors="backslashreplace")
        sys.stderr = os.fdopen(2, "w", errors="backslashreplace")
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = run(args)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _wait(child: int, deadline: float) -> tuple[int, float]:
    """Return the exit status of a child, and how long it and its children computed."""
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        if time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return _STUCK, 0.0
        time.sleep(0.01)


def digests(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: names, and digests of the files."""
    found = {}
    for path in sorted(folder.rglob("*")):
        regular = path.is_file() and not path.is_symlink()
        content = path.read_bytes() if regular else b""
        found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def faults(ran: Ran) -> list[str]:
    """Say what is wrong with how a command ended, apart from what it wrote to files."""
    found = []
    if ran.code not in ALLOWED:
        found.append("did not end in time" if ran.code == _STUCK else f"ended with {ran.code}")
    if "Traceback" in ran.err:
        found.append("printed a traceback")
    if len(ran.err.splitlines()) > MOST_LINES:
        found.append(f"printed {len(ran.err.splitlines())} lines to stderr")
    if ran.code in {2, 3} and (ran.out or f"\n{ran.err}".count("\nerror: ") != 1):
        found.append("said something other than one error")
    lines = [line.strip() for line in (ran.out + ran.err).splitlines()]
    if any(line.startswith("::") or "##" in line for line in lines):
        found.append("printed a command of a build service")
    shown = (ran.out + ran.err).replace("\n", "")
    odd = next((c for c in shown if not c.isprintable()), None)
    if odd is not None:
        found.append(f"printed the character {odd!r}")
    return found


def check_file(run: Run, folder: Path, scratch: Path, limits: Limits = LIMITS) -> dict[str, Ran]:
    """Give `model.onnx` in a folder to analyze, prune and verify.

    Args:
        run: the entry point of the command line.
        folder: the model, with data files if it has any; nothing else.
        scratch: an existing empty folder, for output.
        limits: what each command may take.

    Returns:
        What each command did.

    Raises:
        AssertionError: a command broke its contract; the message says which and how.
    """
    model, out, plan = folder / "model.onnx", folder / "out.onnx", folder / "plan.json"
    before = digests(folder)
    done: dict[str, Ran] = {}

    def call(name: str, *args: object) -> Ran:
        ran = done[name] = run_limited(run, [name, *map(str, args)], scratch, limits)
        after = digests(folder)
        written = {n for n in after if n not in before}
        wrong = faults(ran)
        if {n: d for n, d in after.items() if n in before} != before:
            wrong.append("changed its input")
        if written and (name == "analyze" or (name == "prune" and ran.code != 0)):
            wrong.append(f"left {sorted(written)} behind")
        if name == "prune" and ran.code == 0 and not {out.name, plan.name} <= written:
            wrong.append("wrote nothing")
        assert not wrong, f"{name}: {'; '.join(wrong)}\n{ran.err[:2000]}"
        return ran

    call("analyze", model)
    pruned = call("prune", model, "-o", out, "--ratio", "0.3", "--plan-out", plan)
    if pruned.code == 0:
        verdict = call("verify", model, out, "--plan", plan)
        assert verdict.code == 0, f"verify: the written file fails\n{verdict.out}{verdict.err}"
    else:
        call("verify", model, model)
    return done

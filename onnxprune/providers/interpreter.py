"""Call a function of ours in another interpreter, whose environment has another ONNX Runtime.

The builds of ONNX Runtime are one Python package and overwrite each other, so comparing providers
takes several environments. They need NumPy, ml_dtypes and an ONNX Runtime; this package they find
where it lies.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnxprune.errors import InternalError, OnnxPruneError, ProviderUnavailableError, printable
from onnxprune.runtime.isolate import run_isolated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["call_in", "main", "relay"]

# The other environment's packages come first; ours are looked at for this package alone.
_BOOTSTRAP: Final = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from onnxprune.providers.interpreter import main; main(sys.argv[2], sys.argv[3])"
)


def call_in(  # as run_isolated
    python: Path | None,
    target: str,
    kwargs: Mapping[str, Any],
    *,
    timeout_s: float,
    memory_limit_bytes: int | None,
    progress: Callable[[int, int], None] | None = None,
    task: str | None = None,
) -> Any:  # noqa: ANN401  # what the target returns
    """Call a function in a child process of an interpreter, see `run_isolated`.

    Args:
        python: The interpreter; None for this one.
        target: What to call, as "package.module:function".
        kwargs: Its keyword arguments.
        timeout_s: Seconds that it may take.
        memory_limit_bytes: Memory that it may take; None for no limit.
        progress: Called with (done, total); another interpreter does not report.
        task: What the call is for.

    Raises:
        ProviderUnavailableError: The interpreter does not start, or lacks what is needed.
        Exception: What the function raised.
    """
    if python is not None:
        kwargs = {"python": str(python), "target": target, "kwargs": dict(kwargs)}
        target, progress = f"{__name__}:relay", None
    return run_isolated(
        target, kwargs, timeout_s=timeout_s, memory_limit_bytes=memory_limit_bytes,
        progress=progress, task=task,
    )  # fmt: skip


def relay(python: str, target: str, kwargs: Mapping[str, Any]) -> Any:  # noqa: ANN401
    """Start another interpreter, hand it a call, and return what it returns.

    Runs in a child process of this interpreter, which a time limit ends together with the other.

    Raises:
        ProviderUnavailableError: The interpreter does not start, or leaves without an answer.
    """
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        request, answer = Path(folder) / "request", Path(folder) / "answer"
        request.write_bytes(pickle.dumps((target, dict(kwargs))))
        root = str(Path(__file__).absolute().parents[2])
        command = [python, "-P", "-c", _BOOTSTRAP, root, str(request), str(answer)]
        try:
            done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603  # the user names it
        except OSError as error:
            message = f"interpreter '{printable(python)}' does not start: {error.strerror}"
            raise ProviderUnavailableError(message) from error
        if not answer.exists():
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["nothing"]
            message = f"interpreter '{printable(python)}' left with status {done.returncode} and "
            message += f"without an answer; its last words: {printable(lines[-1].strip())}"
            hint = "its environment needs numpy, ml_dtypes and a build of ONNX Runtime"
            raise ProviderUnavailableError(message, hint=hint)
        succeeded, value = pickle.loads(answer.read_bytes())  # noqa: S301  # our own process
    if not succeeded:
        raise value
    return value


def main(request: str, answer: str) -> None:
    """Serve one call in the other interpreter: read it from a file, and write what came of it."""
    target, kwargs = pickle.loads(Path(request).read_bytes())  # noqa: S301  # our own process
    module, _, name = target.partition(":")
    outcome: tuple[bool, object]
    try:
        __import__(module)
        outcome = True, getattr(sys.modules[module], name)(**kwargs)
    except OnnxPruneError as error:
        outcome = False, error
    except Exception as error:  # noqa: BLE001  # whatever it is, the caller must hear of it
        outcome = False, InternalError(f"{type(error).__name__}: {printable(error)}")
    partial = Path(f"{answer}.partial")
    partial.write_bytes(pickle.dumps(outcome))
    partial.rename(answer)

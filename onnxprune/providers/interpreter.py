"""Call a function of ours on a target: an interpreter of another environment, or another machine.

The builds of ONNX Runtime are one Python package and overwrite each other, so comparing providers
takes several environments; and a latency counts on the machine that the model is for. They need
NumPy and an ONNX Runtime; this package they find where the target says.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.runtime.isolate import Host, IsolatedCrashError, IsolatedStartError, run_isolated
from onnxprune.targets import Interpreter, Target
from onnxprune.targets.answers import load_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["call_in"]

# This package, and nothing else of where it lies: whatever version of it that environment has, the
# two sides must be of one.
_BOOTSTRAP: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); import onnxprune; del sys.path[0];"
    "from onnxprune.runtime.child import main; main()"
)


def call_in(  # as run_isolated
    python: Path | Target | None,
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
        python: The interpreter, here or elsewhere; None for this one.
        target: What to call, as "package.module:function".
        kwargs: Its keyword arguments; `model` and `models` are paths, and copied where need be.
        timeout_s: Seconds that it may take.
        memory_limit_bytes: Memory that it may take; None for no limit.
        progress: Called with (done, total).
        task: What the call is for.

    Raises:
        ProviderUnavailableError: The interpreter does not start, or lacks what is needed.
        Exception: What the function raised.
    """
    if python is None:
        return run_isolated(
            target, kwargs, timeout_s=timeout_s, memory_limit_bytes=memory_limit_bytes,
            progress=progress, task=task,
        )  # fmt: skip
    place = Interpreter(str(python)) if isinstance(python, Path) else python
    command = place.command([place.python, "-P", "-c", _BOOTSTRAP, place.package()])
    try:
        return run_isolated(
            target, _located(kwargs, place), timeout_s=timeout_s,
            memory_limit_bytes=memory_limit_bytes, progress=progress, task=task,
            host=Host(command, load_answer),
        )  # fmt: skip
    except IsolatedStartError as error:
        raise place.failure(error.status, error.output) from error
    except IsolatedCrashError as error:
        message = f"{place}: {error.message}"
        raise ProviderUnavailableError(message, hint=error.hint) from error
    except OSError as error:
        message = f"'{printable(command[0])}' does not start: {error.strerror}"
        raise ProviderUnavailableError(message) from error
    except ImportError as error:
        message = f"{place} lacks a package: {printable(error)}"
        hint = "it needs numpy and a build of ONNX Runtime"
        raise ProviderUnavailableError(message, hint=hint) from error
    except pickle.UnpicklingError as error:
        message = f"{place} answered something that is not accepted: {printable(error)}"
        raise ProviderUnavailableError(message) from error
    except ProviderUnavailableError as error:
        if isinstance(place, Interpreter):
            raise
        message = f"{printable(place.text)}: {error.message}"
        raise ProviderUnavailableError(message, hint=error.hint) from error


def _located(kwargs: Mapping[str, Any], place: Target) -> dict[str, Any]:
    """Return the arguments with the paths that the models have on a target."""
    found = dict(kwargs)
    if "kwargs" in found:  # of a function that calls another
        found["kwargs"] = _located(found["kwargs"], place)
    if "model" in found:
        found["model"] = place.located(Path(found["model"]))
    if "models" in found:
        found["models"] = [place.located(Path(model)) for model in found["models"]]
    return found

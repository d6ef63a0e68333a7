"""Samples from Python: feeds, or a function of the user's own code that yields them.

A function is named by the user, on the command line with an option of its own; nothing that a model
or a data file says is ever imported.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune.calibration.samples import check_names, check_symbols, take_whole
from onnxprune.errors import InvalidConfigError, OnnxPruneError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnxprune.runtime.feeds import Feed, FeedValue
    from onnxprune.runtime.inputs import InputSpec

__all__ = ["call_entry", "check_entry", "take_feeds"]

_ENTRY: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def check_entry(entry: str, *, option: str) -> str:
    """Return the name of a function, once it has the form of one.

    Args:
        entry: The name, as "module:function".
        option: The option that it was given with.

    Raises:
        InvalidConfigError: It is no such name.
    """
    if not _ENTRY.fullmatch(entry):
        message = f"{option} is '{printable(entry)}', wanted is module:function"
        raise InvalidConfigError(message, hint="data:feeds is the function feeds of data.py here")
    return entry


def call_entry(
    entry: str, *arguments: object, option: str, use: Callable[[Any], Any] | None = None
) -> Any:  # noqa: ANN401  # what the function returns
    """Import a function of the user's and call it; modules of the working directory are found.

    What it prints goes to stderr, because stdout is for results.

    Args:
        entry: The function, as "module:function".
        arguments: What it is called with.
        option: The option that it was given with.
        use: What to do with the result while the function's failures are still told as such: a
            generator runs only when it is asked.

    Raises:
        InvalidConfigError: There is no such function, or it failed.
    """
    module, _, name = check_entry(entry, option=option).partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            function = getattr(importlib.import_module(module), name)
            result = function(*arguments)
            return result if use is None else use(result)
    except OnnxPruneError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        message = f"{option} '{entry}' failed: {type(error).__name__}: {printable(error)}"
        raise InvalidConfigError(message, hint="run it on its own to see where") from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def take_feeds(
    feeds: Iterable[object], specs: Sequence[InputSpec], *, samples: int, where: str
) -> list[Feed]:
    """Take the first feeds of what may have no end, and check each.

    Args:
        feeds: Mappings of input names to arrays, one per run of the model.
        specs: The inputs of the model.
        samples: How many are taken at most.
        where: What to call their origin.

    Raises:
        InvalidConfigError: There is none, or one is not what the inputs want.
    """
    taken = list(itertools.islice(iter(feeds), samples))
    if not taken:
        message = f"{where} yielded no feed"
        raise InvalidConfigError(message)
    return [
        _check(feed, specs, where=f"{where}, feed {number}") for number, feed in enumerate(taken)
    ]


def _check(feed: object, specs: Sequence[InputSpec], *, where: str) -> Feed:
    if not isinstance(feed, Mapping):
        message = f"{where}: seen a {type(feed).__name__}, wanted a mapping of inputs to arrays"
        raise InvalidConfigError(message)
    check_names(feed, specs, where=where)
    checked: dict[str, FeedValue] = {}
    for spec in specs:
        value = feed.get(spec.name)
        if spec.container.endswith("sequence") and isinstance(value, Iterable):
            checked[spec.name] = [take_whole(element, spec, where=where) for element in value]
        elif value is None and spec.container.startswith("optional"):
            checked[spec.name] = None
        else:
            checked[spec.name] = take_whole(value, spec, where=where)
    shapes = {name: v.shape for name, v in checked.items() if isinstance(v, np.ndarray)}
    check_symbols(shapes, specs, where=where)
    return checked

"""What ONNX Runtime's package brings for phones: lists of operators, and its own file format."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

from onnxprune.errors import InvalidModelError, ProviderUnavailableError
from onnxprune.runtime.compare import Comparison, compare_models
from onnxprune.runtime.messages import short_reason
from onnxprune.runtime.session import failures, load_onnxruntime

if TYPE_CHECKING:
    from onnxprune.runtime.feeds import FeedRecipe

_ROW = re.compile(r"\|\s*(?P<domain>[\w.]+)[:.](?P<op>\w+)\s*\|(?P<note>.*)\|\s*$")
_BREAK = re.compile(r"<br\s*/?>")
_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")


def operator_list(name: str) -> dict[tuple[str, str], str]:
    """Return the operators that a provider takes according to the installed package.

    Args:
        name: the list: `nnapi`, `coreml_mlprogram` or `coreml_neuralnetwork`.

    Returns:
        By (domain, operator) the conditions in words, "" where there are none.

    Raises:
        ProviderUnavailableError: ONNX Runtime, or the list, is not installed.
    """
    # Looking for the package does not load its library.
    found = importlib.util.find_spec("onnxruntime")
    folders = [Path(p) for p in (found.submodule_search_locations or ())] if found else []
    parts = name.split("_", 1)
    file_name = f"{parts[0]}_supported_{f'{parts[1]}_' if parts[1:] else ''}ops.md"
    for folder in folders:
        path = folder / "tools" / "mobile_helpers" / file_name
        if path.is_file():
            return _parse(path.read_text(encoding="utf-8"))
    message = f"the installed ONNX Runtime has no list of the operators of {name}"
    raise ProviderUnavailableError(message, hint="pip install 'onnxprune[cpu]'")


def _parse(text: str) -> dict[tuple[str, str], str]:
    rows = filter(None, map(_ROW.match, text.splitlines()))
    return {
        ("" if row["domain"] == "ai.onnx" else row["domain"], row["op"]): _plain(row["note"])
        for row in rows
    }


def _plain(note: str) -> str:
    return " ".join(_LINK.sub(r"\1", _BREAK.sub(" ", note)).split())


def convert(model: str, target: str, *, fuse: bool, recipe: FeedRecipe) -> Comparison:
    """Write a model in ONNX Runtime's format, and compare the two; runs in a child process.

    Args:
        model: an ONNX file.
        target: where to write.
        fuse: whether to fuse operators for the CPU provider; other providers take single ones.
        recipe: what to compare on.

    Raises:
        InvalidModelError: the runtime refuses the model.
        VerificationError: the result cannot be loaded or run.
    """
    runtime = load_onnxruntime()
    options = runtime.SessionOptions()
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = (
        levels.ORT_ENABLE_EXTENDED if fuse else levels.ORT_ENABLE_BASIC
    )
    options.optimized_model_filepath = target
    options.add_session_config_entry("session.save_model_format", "ORT")
    try:
        runtime.InferenceSession(model, sess_options=options, providers=["CPUExecutionProvider"])
    except failures() as error:
        message = f"ONNX Runtime cannot convert the model: {short_reason(str(error))}"
        raise InvalidModelError(message) from error
    return compare_models(model, target, feeds=[recipe], optimize=[False])

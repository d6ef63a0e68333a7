"""Open ONNX Runtime sessions that are quiet and repeatable, and run them.

Opening runs a stranger's graph through native code: do it inside `isolate.run_isolated` unless the
file is known to be harmless.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from onnxprune.errors import InvalidModelError, ProviderUnavailableError, printable
from onnxprune.runtime import element_types
from onnxprune.runtime.messages import is_out_of_memory, short_reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from onnxprune.runtime.feeds import Array, Feed

__all__ = [
    "ProviderRequest",
    "Session",
    "failures",
    "load_onnxruntime",
    "open_session",
    "run",
    "run_outputs",
]

Session: TypeAlias = Any  # onnxruntime.InferenceSession, which has no type information
ProviderRequest: TypeAlias = str | tuple[str, Mapping[str, str]]

_CPU: Final = "CPUExecutionProvider"
_BYTES_LIMIT: Final = 2**31
_ERROR_SEVERITY: Final = 3

# Failures at loading that are the model's fault whatever the provider.
_MODEL_FAILURES: Final = frozenset({"InvalidGraph", "InvalidProtobuf", "NoModel", "NoSuchFile"})


@functools.cache
def load_onnxruntime() -> Any:  # noqa: ANN401  # an untyped module
    """Import ONNX Runtime on first use.

    Raises:
        ProviderUnavailableError: None is installed, or it does not load.
    """
    hint = (
        "its builds replace each other, so install one: pip install 'onnxprune[cpu]', or "
        "'onnxprune[cuda]', 'onnxprune[openvino]', ... for other hardware"
    )
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        if error.name == "onnxruntime":
            message = "ONNX Runtime is not installed"
        else:
            message = f"ONNX Runtime is installed but does not load: {printable(error)}"
        raise ProviderUnavailableError(message, hint=hint) from error
    if not hasattr(runtime, "InferenceSession"):  # an uninstalled build leaves its directory behind
        message = "ONNX Runtime is not completely installed: its package is empty"
        raise ProviderUnavailableError(message, hint=hint)
    runtime.set_default_logger_severity(_ERROR_SEVERITY)
    runtime.disable_telemetry_events()
    return runtime


def open_session(
    model: bytes | str | Path,
    *,
    optimize: bool,
    threads: int = 1,
    providers: Sequence[ProviderRequest] = (_CPU,),
    config: Mapping[str, str] | None = None,
) -> Session:
    """Load a model, with fallback to other providers disabled.

    Sessions opened the same way give the same results, random operators included: the runtime's
    seed is set, for the whole process.

    Args:
        model: The file, or its bytes where it is below 2 GiB and without external data.
        optimize: Whether the runtime may rewrite the graph: everything it can do, or nothing.
        threads: Threads within an operator; 0 lets the runtime choose.
        providers: Execution providers by name, or (name, options), the preferred one first.
        config: Further session configuration entries.

    Raises:
        InvalidModelError: The runtime refuses the model.
        ProviderUnavailableError: A provider is not in this build, or refuses the model.
        MemoryError: The model does not fit into the memory there is.
    """
    runtime = load_onnxruntime()
    names = [provider if isinstance(provider, str) else provider[0] for provider in providers]
    _require(names, runtime.get_available_providers(), "this build of ONNX Runtime has")
    if isinstance(model, bytes):
        label = "the model"
        if len(model) >= _BYTES_LIMIT:
            message = f"{label} has {len(model)} bytes; from memory, 2 GiB can be loaded"
            raise InvalidModelError(message, hint="write it to a file with external data")
    else:
        label = f"'{printable(model)}'"
    runtime.set_seed(0)
    try:
        session = runtime.InferenceSession(
            model if isinstance(model, bytes) else str(model),
            sess_options=_options(runtime, optimize=optimize, threads=threads, config=config or {}),
            providers=[p if isinstance(p, str) else (p[0], dict(p[1])) for p in providers],
            enable_fallback=0,
        )
    except failures() as error:
        raise _load_error(label, error, names) from error
    _require(names, session.get_providers(), f"the session for {label} has")
    return session


def run(session: Session, feed: Feed) -> list[Array | None]:
    """Run a model and return all its outputs in order, with sequences and maps flattened.

    Raises:
        InvalidModelError: The model cannot be run on this feed.
        MemoryError: The run needs more memory than there is.
    """
    outputs = run_outputs(session, feed)
    return [array for arrays in outputs.values() for array in arrays]


def run_outputs(session: Session, feed: Feed) -> dict[str, list[Array | None]]:
    """Run a model and return the arrays of each output.

    A tensor is one array; an optional without a value is one None; a sequence is its elements; a
    map is an array of keys and one of values.

    Raises:
        InvalidModelError: The model cannot be run on this feed.
        MemoryError: The run needs more memory than there is.
    """
    names = [output.name for output in session.get_outputs()]
    try:
        if _is_native(session):
            values = session.run(names, dict(feed))
        else:
            values = _run_with_ort_values(session, names, feed)
    except failures() as error:
        if is_out_of_memory(str(error)):
            raise MemoryError(short_reason(str(error))) from error
        message = f"the model cannot be run: {short_reason(str(error))}"
        raise InvalidModelError(message) from error
    return {name: list(_flatten(value)) for name, value in zip(names, values, strict=True)}


def _options(runtime: Any, *, optimize: bool, threads: int, config: Mapping[str, str]) -> Any:  # noqa: ANN401
    options = runtime.SessionOptions()
    levels = runtime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = _ERROR_SEVERITY
    entries = {
        "session.intra_op.allow_spinning": "0",
        "session.inter_op.allow_spinning": "0",
        **config,
    }
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    return options


@functools.cache
def failures() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its classes have no common base below Exception."""
    load_onnxruntime()
    state = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [
        value
        for value in vars(state).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    return (*own, RuntimeError, TypeError, ValueError)


def _require(names: Sequence[str], present: Sequence[str], where: str) -> None:
    missing = [name for name in names if name not in present]
    if missing:
        message = f"{printable(', '.join(missing))} is not available: {where} {', '.join(present)}"
        raise ProviderUnavailableError(message)


def _load_error(label: str, error: Exception, providers: Sequence[str]) -> Exception:
    text = str(error)
    if is_out_of_memory(text):
        return MemoryError(short_reason(text))
    others = [name for name in providers if name != _CPU]
    if others and type(error).__name__ not in _MODEL_FAILURES:
        message = f"{printable(', '.join(others))} does not take {label}: {short_reason(text)}"
        return ProviderUnavailableError(message)
    return InvalidModelError(f"ONNX Runtime cannot load {label}: {short_reason(text)}")


def _flatten(value: object) -> Iterator[Array | None]:
    if value is None or isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, dict):
        yield np.asarray(list(value.keys()))
        yield np.asarray(list(value.values()))
    elif isinstance(value, list):
        for element in value:
            yield from _flatten(element)
    else:
        message = f"an output is a {type(value).__name__}; wanted tensors, sequences or maps"
        raise InvalidModelError(message)


def _is_native(session: Session) -> bool:
    """Tell whether inputs and outputs are all of types that travel as NumPy arrays."""
    found = [
        element_types.by_runtime_type(value.type)
        for value in (*session.get_inputs(), *session.get_outputs())
    ]
    return all(element is None or element.native for element in found)


def _run_with_ort_values(session: Session, names: Sequence[str], feed: Feed) -> list[Array | None]:
    """Run with the runtime's own values, which hold element types that NumPy does not know."""
    types = {value.name: value.type for value in session.get_inputs()}
    values = {name: _to_ort_value(types.get(name, ""), feed[name], name) for name in feed}
    return [_to_array(value) for value in session.run_with_ort_values(list(names), values)]


def _to_ort_value(runtime_type: str, value: object, name: str) -> Any:  # noqa: ANN401
    make = load_onnxruntime().OrtValue
    element = element_types.by_runtime_type(runtime_type)
    if element is None or element.packed or not isinstance(value, np.ndarray):
        message = f"input '{printable(name)}' of type {printable(runtime_type)} cannot be fed"
        raise InvalidModelError(message)
    array = np.ascontiguousarray(value)
    if element.native:
        return make.ortvalue_from_numpy(array)
    bits = array.view(np.dtype(f"u{array.itemsize}"))
    return make.ortvalue_from_numpy_with_onnx_type(bits, element.number)


def _to_array(value: Any) -> Array | None:  # noqa: ANN401
    if not value.has_value():
        return None
    element = element_types.by_runtime_type(value.data_type())
    if element is None or element.packed or value.device_name() != "cpu":
        message = f"an output of type {printable(value.data_type())} cannot be read"
        raise InvalidModelError(message)
    if element.native:
        array: Array = value.numpy()
        return array
    shape = tuple(value.shape())
    size = int(np.prod(shape, dtype=np.int64)) * element.dtype.itemsize
    data = ctypes.string_at(value.data_ptr(), size) if size else b""
    return np.frombuffer(data, element.dtype).reshape(shape)

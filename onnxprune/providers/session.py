"""Open sessions on a provider, in whichever way it is loaded, with every fallback disabled.

ONNX Runtime falls back in five places: a name that is not in the build is dropped with a warning; a
provider that cannot start is replaced by the CPU; nodes that a provider does not take go to the
CPU; a failed run is repeated on a session that was rebuilt on the CPU; and a provider may claim
nodes and compute nothing. The first four are closed here as far as they can be; `check` finds the
rest by looking at what ran.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.providers.availability import find_devices, require_provider
from onnxprune.providers.registry import find_provider
from onnxprune.runtime.messages import is_out_of_memory, short_reason
from onnxprune.runtime.session import Session, load_onnxruntime, open_session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from onnxprune.providers.spec import ProviderSpec

__all__ = ["SessionSettings", "open_on", "require_still_on"]

_ERROR_SEVERITY: Final = 3
_CPU: Final = find_provider("cpu").runtime_name


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """How a session is set up.

    Attributes:
        threads: Threads within an operator; 0 lets the runtime choose.
        spinning: Whether threads wait for work by spinning, which is faster and burns the CPU.
        strict: Whether a node on the CPU instead of the provider is an error.
        record: Whether to record which node goes to which provider.
        profile_prefix: Where to write a profile; empty for none.
        dims: Sizes of symbolic dimensions, for providers that compile for fixed sizes only.
    """

    threads: int = 1
    spinning: bool = False
    strict: bool = False
    record: bool = False
    profile_prefix: str = ""
    dims: Mapping[str, int] = field(default_factory=dict)


def open_on(spec: ProviderSpec, model: str | Path, settings: SessionSettings) -> Session:
    """Load a model on a provider.

    Raises:
        ProviderUnavailableError: The provider is missing, cannot start, or does not take the model.
        InvalidModelError: The runtime refuses the model on any provider.
        MemoryError: The model does not fit into the memory there is.
    """
    presence = require_provider(spec.facts).presence
    runtime = load_onnxruntime()
    options = _options(runtime, settings, strict=settings.strict and spec.name != _CPU)
    if spec.facts.fixed_shapes == "required":
        for symbol, size in settings.dims.items():
            options.add_free_dimension_override_by_name(symbol, size)
    wanted = spec.options(threads=settings.threads)
    runtime.set_seed(0)
    try:
        if presence == "plugin":
            options.add_provider_for_devices(find_devices(spec.facts)[:1], wanted)
            session = runtime.InferenceSession(str(model), options, enable_fallback=0)
        else:
            session = runtime.InferenceSession(
                str(model), options, providers=[(spec.name, wanted)], enable_fallback=0
            )
    except Exception as error:  # the runtime's errors have no common base
        raise _failure(spec, model, error) from error
    require_still_on(spec, session)
    return session


def require_still_on(spec: ProviderSpec, session: Session) -> None:
    """Check that a session still has its provider: a failed run may have rebuilt it on the CPU.

    Raises:
        ProviderUnavailableError: It has not.
    """
    names = session.get_providers()
    if spec.name not in names:
        message = f"provider '{printable(spec.text)}' is not in the session, which fell back to "
        message += ", ".join(names)
        raise ProviderUnavailableError(message, hint=_hint(spec))


def _options(runtime: Any, settings: SessionSettings, *, strict: bool) -> Any:  # noqa: ANN401
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = _ERROR_SEVERITY
    entries = {"session.intra_op.allow_spinning": "1" if settings.spinning else "0"}
    if strict:
        entries["session.disable_cpu_ep_fallback"] = "1"
    if settings.record:
        entries["session.record_ep_graph_assignment_info"] = "1"
    for key, value in entries.items():
        options.add_session_config_entry(key, value)
    if settings.profile_prefix:
        options.enable_profiling = True
        options.profile_file_prefix = settings.profile_prefix
    return options


def _failure(spec: ProviderSpec, model: str | Path, error: Exception) -> Exception:
    if is_out_of_memory(str(error)):
        return MemoryError(short_reason(str(error)))
    if spec.name != _CPU:
        open_session(model, optimize=True)  # a model that the CPU refuses as well is at fault
    message = f"provider '{printable(spec.text)}' does not take '{printable(model)}': "
    message += short_reason(str(error))
    return ProviderUnavailableError(message, hint=_hint(spec))


def _hint(spec: ProviderSpec) -> str:
    facts = spec.facts
    if facts.fixed_shapes == "required":
        return f"it takes fixed input sizes only; its options: {', '.join(facts.options)}"
    return f"its libraries or its device may be missing; what brings it: {facts.install}"

"""Whether a provider is here: inside this build of ONNX Runtime, as a plug-in library, or not.

Being listed is not being usable: `check` runs a model before it believes it.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.providers.emulator import emulation
from onnxprune.runtime.messages import short_reason
from onnxprune.runtime.session import load_onnxruntime

if TYPE_CHECKING:
    from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["Availability", "Presence", "availability", "find_devices", "require_provider"]

Presence: TypeAlias = Literal["built-in", "plugin", "no device", "missing"]


@dataclass(frozen=True, slots=True)
class Availability:
    """What is here of a provider.

    Attributes:
        presence: "built-in" in this build, or a "plugin" library with a device; "no device" for a
            library that finds nothing to run on; "missing" otherwise.
        version: Of the distribution that brings it, where that is known.
        detail: What was seen, in words.
        emulated: What it computes on when that is an emulator.
    """

    presence: Presence
    version: str
    detail: str
    emulated: str = ""

    @property
    def usable(self) -> bool:
        """Whether a session can be asked for it."""
        return self.presence in ("built-in", "plugin")


def availability(facts: ProviderFacts) -> Availability:
    """Tell whether a provider is in this interpreter's environment.

    Raises:
        ProviderUnavailableError: There is no ONNX Runtime at all.
    """
    found = _find(facts)
    return replace(found, emulated=emulation(facts)) if found.usable else found


def _find(facts: ProviderFacts) -> Availability:
    runtime = load_onnxruntime()
    present = _built_in()
    if facts.runtime_name in present:
        return Availability("built-in", runtime.__version__, f"in ONNX Runtime {_build()}")
    seen = f"ONNX Runtime {_build()} has {', '.join(present)}"
    for package in facts.packages:
        if package.plugin and importlib.util.find_spec(package.plugin) is not None:
            return _plugin(facts, package)
    return Availability("missing", "", seen)


def require_provider(facts: ProviderFacts) -> Availability:
    """Return the availability of a provider that can be used.

    Raises:
        ProviderUnavailableError: It cannot.
    """
    found = availability(facts)
    if not found.usable:
        message = f"provider '{printable(facts.name)}' is not available: {found.detail}"
        hint = f"to get it: {facts.install}"
        if facts.where:
            hint += f" ({facts.where})"
        if found.presence == "no device":
            hint = f"without its device, this can be checked: {facts.without_device}"
        raise ProviderUnavailableError(message, hint=hint)
    return found


def find_devices(facts: ProviderFacts) -> list[Any]:
    """Return the devices (ONNX Runtime's own objects) of a provider that is a plug-in."""
    runtime = load_onnxruntime()
    return [d for d in runtime.get_ep_devices() if d.ep_name == facts.runtime_name]


def _plugin(facts: ProviderFacts, package: Package) -> Availability:
    version = _version(package.distribution)
    named = f"{package.distribution} {version}"
    problem = _register(facts.runtime_name, package.plugin)
    if problem:
        return Availability("missing", version, f"{named} does not load: {problem}")
    devices = find_devices(facts)
    if not devices:
        detail = f"{named} finds no device of its kind on this machine"
        return Availability("no device", version, detail)
    return Availability("plugin", version, f"plug-in {named}, {len(devices)} device(s)")


@functools.cache
def _register(runtime_name: str, module: str) -> str:
    """Load a plug-in library into this process, once; return what went wrong, "" for nothing."""
    runtime = load_onnxruntime()
    if not hasattr(runtime, "register_execution_provider_library"):
        return f"ONNX Runtime {runtime.__version__} takes no plug-ins"
    try:
        library = importlib.import_module(module).get_library_path()
        runtime.register_execution_provider_library(runtime_name, library)
    except Exception as error:  # noqa: BLE001  # somebody else's module and native code
        return short_reason(f"{type(error).__name__}: {error}")
    return ""


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


@functools.cache
def _built_in() -> tuple[str, ...]:
    """Return what the build has: asked once, because plug-ins join the list when they load."""
    return tuple(load_onnxruntime().get_available_providers())


@functools.cache
def _build() -> str:
    """Return version and distribution of ONNX Runtime: all builds are the same Python package."""
    version = load_onnxruntime().__version__
    owners = importlib.metadata.packages_distributions().get("onnxruntime", [])
    return f"{version} ({', '.join(sorted(set(owners)))})" if owners else str(version)

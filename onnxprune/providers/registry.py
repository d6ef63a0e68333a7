"""The providers there are. A further one is a module with its facts and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxprune import plugins
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.providers import (
    acl,
    coreml,
    cpu,
    cuda,
    directml,
    dnnl,
    migraphx,
    nnapi,
    openvino,
    qnn,
    rocm,
    tensorrt,
    tensorrt_rtx,
    webgpu,
    xnnpack,
)

if TYPE_CHECKING:
    from onnxprune.providers.facts import ProviderFacts

__all__ = ["PROVIDERS", "all_providers", "find_provider", "register_provider"]

PROVIDERS: dict[str, ProviderFacts] = {}
"""Facts by name, in the order in which they are listed."""


def register_provider(facts: ProviderFacts) -> None:
    """Add a provider.

    Raises:
        InvalidConfigError: A name that it goes by is taken.
    """
    taken = {name for known in PROVIDERS.values() for name in _names(known)}
    for name in _names(facts):
        if name in taken:
            message = f"two execution providers are called '{printable(name)}'"
            raise InvalidConfigError(message)
    PROVIDERS[facts.name] = facts
    module = plugins.registering_module()
    plugins.note_registration(module, "provider", facts.name, lambda: _forget(facts.name))


def _forget(name: str) -> None:
    del PROVIDERS[name]


def all_providers() -> tuple[ProviderFacts, ...]:
    """Return the facts of all providers, those of plug-ins last."""
    plugins.load_plugins(plugins.PROVIDERS)
    return tuple(PROVIDERS.values())


def find_provider(name: str) -> ProviderFacts:
    """Return the facts of a provider by any name it goes by; plug-ins come after our own.

    Raises:
        InvalidConfigError: There is no such provider.

    Examples:
        >>> find_provider("trt").runtime_name
        'TensorrtExecutionProvider'
    """
    wanted = name.strip().lower().replace("-", "_")
    for known in (PROVIDERS.values, all_providers):
        for facts in known():
            if wanted in _names(facts):
                return facts
    message = f"there is no execution provider '{printable(name)}'"
    raise InvalidConfigError(message, hint=f"choose among {', '.join(PROVIDERS)}")


def _names(facts: ProviderFacts) -> tuple[str, ...]:
    return (facts.name, facts.runtime_name.lower(), *facts.aliases)


for _module in (
    cpu, xnnpack, openvino, dnnl, acl, cuda, tensorrt, tensorrt_rtx, migraphx, rocm, directml,
    webgpu, coreml, nnapi, qnn,
):  # fmt: skip
    register_provider(_module.FACTS)

"""Which providers are here, which are missing, and how to get those."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Literal

from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers.availability import Availability
from onnxprune.providers.document import PackageEntry, ProviderEntry, ProvidersReport
from onnxprune.providers.interpreter import call_in
from onnxprune.providers.registry import all_providers
from onnxprune.targets import Target, places

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from onnxprune.providers.facts import Package, ProviderFacts

__all__ = ["interpreter_for", "list_providers"]

_TIMEOUT_S: Final = 120.0


def list_providers(
    pythons: Mapping[str, Path] | None = None, *, target: Target | None = None
) -> ProvidersReport:
    """Look for every provider, each in its own interpreter where it has one.

    Libraries of plug-ins are loaded for it, in a child process.

    Args:
        pythons: Interpreters by provider's name; "" is for all others.
        target: The machine to look at; None for this one.

    Raises:
        ProviderUnavailableError: There is no reaching the target.
    """
    providers = all_providers()
    interpreters = places(pythons, target)
    if isinstance(there := interpreters.get(""), Target):
        there.package()
    chosen = {facts.name: interpreter_for(facts, interpreters) for facts in providers}
    found: dict[str, Availability] = {}
    version: str | None = None
    for python in dict.fromkeys(chosen.values()):
        facts = [entry for entry in providers if chosen[entry.name] == python]
        seen, entries = _survey(python, facts)
        version = seen if python == interpreters.get("") else version
        found |= {entry.name: one for entry, one in zip(facts, entries, strict=True)}
    return ProvidersReport(
        onnxruntime=version,
        providers=[_entry(facts, found[facts.name], chosen[facts.name]) for facts in providers],
    )


def interpreter_for(
    facts: ProviderFacts, pythons: Mapping[str, Path | Target]
) -> Path | Target | None:
    """Return the interpreter for a provider, None for this one."""
    return pythons.get(facts.name, pythons.get(""))


def _survey(
    python: Path | Target | None, facts: Sequence[ProviderFacts]
) -> tuple[str | None, list[Availability]]:
    try:
        version, found = call_in(
            python, "onnxprune.providers.check:survey", {"facts": list(facts)},
            timeout_s=_TIMEOUT_S, memory_limit_bytes=None, task="looking for providers",
        )  # fmt: skip
    except ProviderUnavailableError as error:
        return None, [Availability("missing", "", error.message) for _ in facts]
    return version, found


def _entry(
    facts: ProviderFacts, found: Availability, python: Path | Target | None
) -> ProviderEntry:
    return ProviderEntry(
        name=facts.name,
        runtime_name=facts.runtime_name,
        title=facts.title,
        aliases=list(facts.aliases),
        device=facts.device,
        presence=found.presence,
        version=found.version,
        detail=found.detail,
        install=facts.install,
        python=str(python or sys.executable),
        packages=[_package(package) for package in facts.packages],
        options=dict(facts.options),
        defaults=dict(facts.defaults),
        alignment=dict(facts.alignment),
        layout=facts.layout,
        fixed_shapes=facts.fixed_shapes,
        precision=list(facts.precision),
        tolerance=facts.tolerance,
        emulated=found.emulated,
        without_device=facts.without_device,
        notes=list(facts.notes),
    )


def _package(package: Package) -> PackageEntry:
    kind: Literal["build", "plugin", "none"] = "build" if package.distribution else "none"
    if package.plugin:
        kind = "plugin"
    return PackageEntry(distribution=package.distribution, kind=kind, note=package.note)

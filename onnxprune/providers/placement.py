"""Which node went to which provider: what the runtime says, and what its profile shows."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnxprune.runtime.session import Session

__all__ = ["Kernel", "Placement", "read_assignment", "read_kernels"]

_SUFFIX: Final = "_kernel_time"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One node of the graph as it runs, which may be several of the model's nodes.

    Attributes:
        name: Its name, which the runtime derives from a node's or a value's.
        op: The operator that runs.
        provider: Where it runs.
        us: Time in one run in microseconds, all passes where it is in a loop: the lower quartile
            of the runs, which leaves out those that something else disturbed.
    """

    name: str
    op: str
    provider: str
    us: float


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a model's nodes run.

    Attributes:
        nodes: Names of the nodes that each provider took, after the runtime's first
            simplifications and before providers fuse them; None where the runtime does not tell.
        kernels: What ran, by its own profile.
    """

    nodes: Mapping[str, tuple[str, ...]] | None
    kernels: tuple[Kernel, ...] = field(default_factory=tuple)

    def counts(self) -> dict[str, int]:
        """Return the number of nodes on each provider, of kernels where nodes are not known."""
        if self.nodes is not None:
            return {provider: len(names) for provider, names in self.nodes.items()}
        return dict(Counter(kernel.provider for kernel in self.kernels))

    def shares(self) -> dict[str, float]:
        """Return the share of nodes on each provider.

        Examples:
            >>> Placement({"A": ("conv", "relu", "gemm"), "B": ("shape",)}).shares()
            {'A': 0.75, 'B': 0.25}
        """
        counts = self.counts()
        total = sum(counts.values())
        return {provider: count / total for provider, count in counts.items()} if total else {}

    def ran_on(self, provider: str) -> int:
        """Return how many kernels the profile saw on a provider."""
        return sum(kernel.provider == provider for kernel in self.kernels)


def read_assignment(session: Session) -> dict[str, tuple[str, ...]] | None:
    """Return what the runtime recorded; None where it does not tell.

    It tells where the session was opened to record it, and not in all versions.
    """
    read = getattr(session, "get_provider_graph_assignment_info", None)
    if read is None:
        return None
    found: dict[str, list[str]] = defaultdict(list)
    try:
        for part in read():
            found[part.ep_name] += [node.name for node in part.get_nodes()]
    except RuntimeError:
        return None
    return {provider: tuple(names) for provider, names in found.items()} or None


def read_kernels(profile: str | Path, *, runs: int) -> tuple[Kernel, ...]:
    """Read a profile that ONNX Runtime wrote.

    Args:
        profile: The file.
        runs: How often the model ran; the first run is left out if there is another.
    """
    events = json.loads(Path(profile).read_text(encoding="utf-8", errors="replace"))
    times: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") != "Node" or not name.endswith(_SUFFIX):
            continue
        given = event.get("args", {})
        key = name.removesuffix(_SUFFIX), str(given.get("op_name")), str(given.get("provider"))
        times[key].append(float(event["dur"]))
    return tuple(Kernel(*key, _per_run(values, runs)) for key, values in times.items())


def _per_run(values: list[float], runs: int) -> float:
    if runs < 1 or len(values) % runs:  # in a branch that is not always taken
        return sum(values) / max(1, runs)
    totals = np.asarray(values).reshape(runs, -1).sum(axis=1)
    return float(np.quantile(totals[1:] if runs > 1 else totals, 0.25))

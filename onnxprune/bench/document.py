"""The document that `bench --json` writes; fields may be added, never renamed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from onnxprune.providers.document import JsonDocument
from onnxprune.version import __version__

__all__ = [
    "BenchReport",
    "ComparisonEntry",
    "EnvironmentEntry",
    "FailureEntry",
    "MachineEntry",
    "OpTotal",
    "OperatorEntry",
    "OperatorPair",
    "ProtocolEntry",
    "ProviderRuntime",
    "RunEntry",
    "SelfTestEntry",
]

TOOL = f"onnxprune {__version__}"


class MachineEntry(JsonDocument):
    """A machine and its software."""

    cpu: str
    cores: int
    memory_bytes: int | None
    architecture: str
    system: str
    python: str
    onnx: str
    load_average: list[float] | None
    governor: str | None


class ProviderRuntime(JsonDocument):
    """A provider as it was asked for, and what it ran with.

    Attributes:
        provider: what the user wrote.
        name: its name in ONNX Runtime.
        options: the options that a session was given.
        onnxruntime: version of the runtime.
        detail: which build or plug-in it is in.
        emulated: what it computes on when that is an emulator.
        notes: what the user should know.
    """

    provider: str
    name: str
    options: dict[str, str]
    onnxruntime: str
    detail: str
    emulated: str
    notes: list[str]


class EnvironmentEntry(JsonDocument):
    """What a measurement was made with.

    Attributes:
        target: the machine as the user named it; null for the one that ran the command.
        machine: the one that ran the models; `onnx` is what read them.
    """

    tool: str = TOOL
    target: str | None = None
    machine: MachineEntry
    load_average_after: list[float] | None
    providers: list[ProviderRuntime]


class ProtocolEntry(JsonDocument):
    """How it was measured.

    Attributes:
        description: the protocol in words.
        inputs: sizes of the symbolic dimensions.
    """

    description: str
    inputs: dict[str, int]
    threads: list[int]
    spinning: bool
    rebuilds: int
    most_rebuilds: int
    pairs: int
    block_ms: float
    warm_up_ms: float
    half_width: float
    time_budget_s: float
    seed: int


class OperatorEntry(JsonDocument):
    """The time of one node of the model, and of what was fused into it.

    Attributes:
        node: its name; in parentheses an operator that the runtime added, all of a kind.
        op: what ran.
        us: time in a run, the lower quartile of some.
        macs: its multiply-accumulates, null when unknown.
    """

    node: str
    op: str
    provider: str
    us: float
    macs: int | None = None


class RunEntry(JsonDocument):
    """One model on one provider.

    Attributes:
        p50_ms: median wall time; this and all times after it are null on an emulator.
        cpu_p50_ms: median time of the CPU in a run, all threads together.
        samples: number of runs that were timed.
        load_ms: time from the file to a session, in a fresh process.
        first_run_ms: time of the first run there.
        peak_rss_bytes: its largest memory.
        base_rss_bytes: its memory before the model.
        energy_mj: energy of the processor for one run, null where the system does not tell.
        placement: share of nodes on each provider.
        share: share of nodes on the provider itself.
        macs_share: share of the multiply-accumulates on it, null when unknown.
        max_rel_difference: from the CPU provider's outputs, relative; null for that itself.
        operators: where the time goes.
    """

    model: str
    provider: str
    threads: int
    bytes: int
    macs: int | None
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    cpu_p50_ms: float | None
    samples: int
    load_ms: float | None
    first_run_ms: float | None
    peak_rss_bytes: int | None
    base_rss_bytes: int | None
    energy_mj: float | None
    placement: dict[str, float]
    share: float
    macs_share: float | None
    max_rel_difference: float | None
    operators: list[OperatorEntry]


class SelfTestEntry(JsonDocument):
    """The baseline against itself, measured in the same turns.

    Attributes:
        ratio: should be 1.
        ci99: the interval that must contain 1.
        passed: whether it does.
        attempts: how often it was measured: a failure is given one more chance.
    """

    ratio: float
    ci99: tuple[float, float]
    passed: bool
    attempts: int


class OperatorPair(JsonDocument):
    """The time of one node before and after; null where it is not."""

    node: str
    op: str
    before_us: float | None
    after_us: float | None
    before_macs: int | None = None
    after_macs: int | None = None


class OpTotal(JsonDocument):
    """The time of all nodes of one operator, before and after, and how many of them ran.

    Attributes:
        op: what ran; an operator that the runtime added is one like any other.
    """

    op: str
    before_us: float
    after_us: float
    before_nodes: int
    after_nodes: int


class ComparisonEntry(JsonDocument):
    """Two models on one provider.

    Attributes:
        ratio: time of the candidate divided by that of the baseline, below 1 is faster.
        ci95: its interval, which holds the true ratio in 95 of 100 measurements at least.
        verdict: what that allows to say.
        reason: why.
        clock: which clock counted.
        statistic: which statistic of a session's runs.
        wall_p50_ratio: the ratio of median wall times.
        macs_ratio: the ratio of multiply-accumulates, null when unknown.
        rebuilds: how often the sessions were built.
        pairs: blocks of each model per build.
        runs: runs in a block.
        stopped: why measuring ended.
        seconds: how long it took.
        operators: time by node before and after, the largest change first.
        by_op: the same by operator.
    """

    baseline: str
    candidate: str
    provider: str
    threads: int
    ratio: float
    ci95: tuple[float, float]
    verdict: Literal["faster", "not_faster", "inconclusive"]
    reason: str
    clock: Literal["cpu", "wall"]
    statistic: str
    wall_p50_ratio: float
    macs_ratio: float | None
    rebuilds: int
    pairs: int
    runs: int
    stopped: str
    seconds: float
    self_test: SelfTestEntry
    operators: list[OperatorPair]
    by_op: list[OpTotal] = Field(default_factory=list)


class FailureEntry(JsonDocument):
    """A provider that is not here, or did not run a model."""

    provider: str
    model: str | None
    error: str
    hint: str | None


class BenchReport(JsonDocument):
    """What `bench --json` writes."""

    format: Literal["onnxprune.bench/1"] = "onnxprune.bench/1"
    environment: EnvironmentEntry
    protocol: ProtocolEntry
    runs: list[RunEntry]
    comparisons: list[ComparisonEntry]
    self_tests: dict[str, SelfTestEntry]
    failures: list[FailureEntry]
    notes: list[str]

    @property
    def conclusive(self) -> bool:
        """Whether every provider ran, and every comparison and self-test came to a result."""
        settled = all(c.verdict != "inconclusive" for c in self.comparisons)
        return settled and not self.failures and all(t.passed for t in self.self_tests.values())

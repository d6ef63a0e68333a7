"""The JSON documents of analysis, pruning and verification."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from onnxprune.fidelity.document import (  # noqa: TC001  # fields are read at run time
    Fidelity,
    MetricChange,
    SearchStep,
)
from onnxprune.report.document import TOOL, Document


class Split(Document):
    """A total, divided by what can become of its parts.

    Attributes:
        total: everything.
        prunable: what depends on channels that can leave exactly.
        approximate: what else depends on channels that can leave approximately.
        frozen: what neither can touch.
    """

    total: int
    prunable: int
    approximate: int
    frozen: int


class Totals(Document):
    """How much of a model could leave."""

    params: Split
    macs: Split


class SliceEntry(Document):
    """The indices of a parameter's axis that belong to each atom of a group.

    Attributes:
        initializer: the parameter.
        node: the first node that reads it.
        axis: its axis.
        block_axis: the axis whose blocks have indices of their own, if there are blocks.
        indices: for each atom of the group, indices of the axis.
        consumed: whether an operator sums over the axis, so that the atom is read here.
        blocks: for each atom, the number of the block that each of its indices is in.
    """

    initializer: str
    node: str
    axis: int
    block_axis: int | None = None
    consumed: bool
    indices: list[list[int]]
    blocks: list[list[int]] | None = None


class GroupEntry(Document):
    """A coupled group.

    Attributes:
        id: stable name within the model.
        kind: `rows` for things like whole heads and convolution groups.
        size: number of atoms.
        exact: whether removal equals zeroing what consumes the atoms.
        reason: why it is not exact.
        balance: tables of atoms (null for what is none of this group) whose rows have to keep
            equally many; null when there are none.
        slices: parameter slices that leave with its atoms.
        nodes: nodes that read any of these parameters.
        params: parameters that depend on it.
        macs: multiply-accumulates that depend on it.
    """

    id: str
    kind: Literal["channels", "rows"]
    size: int
    exact: bool
    reason: str
    balance: list[list[list[int | None]]] | None
    slices: list[SliceEntry]
    nodes: list[str]
    params: int
    macs: int


class FrozenEntry(Document):
    """Channels that stay, for one reason at one place.

    Attributes:
        value: value at which it was decided.
        axis: its axis, -1 when it concerns all.
        node: the node, empty for inputs and outputs of the graph.
        op: its operator.
        reason: the reason.
        channels: number of channels.
        params: parameters that could leave but for this and reasons like it.
        macs: multiply-accumulates, likewise.
        parameters: axes of parameters that are held.
    """

    value: str
    axis: int
    node: str
    op: str
    reason: str
    channels: int
    params: int
    macs: int
    parameters: list[tuple[str, int]]


class BranchEntry(Document):
    """A residual branch that can leave as a whole.

    Attributes:
        id: stable name within the model.
        node: the addition that it ends in.
        value: the summand that it makes.
        nodes: nodes that leave with it.
        params: parameters that leave with it.
        macs: multiply-accumulates that leave with it.
    """

    id: str
    node: str
    value: str
    nodes: list[str]
    params: int
    macs: int


class HeldIndices(Document):
    """Indices of an axis that stay, and why."""

    count: int
    reason: str
    node: str
    op: str


class AxisEntry(Document):
    """What holds for one axis of a value.

    Attributes:
        axis: its position.
        size: its size at the probe sizes, null when unknown.
        groups: number of indices by the group they belong to.
        approximate: why groups among these are approximate, by group.
        frozen: indices that stay.
        note: what there is to say besides.
    """

    axis: int
    size: int | None
    groups: dict[str, int]
    approximate: dict[str, str]
    frozen: list[HeldIndices]
    note: str = ""


class WhyEntry(Document):
    """What holds for a value."""

    value: str
    kind: str
    axes: list[AxisEntry]
    note: str = ""


class AnalysisReport(Document):
    """What `analyze --json` writes."""

    format: Literal["onnxprune.analysis/1"] = "onnxprune.analysis/1"
    tool: str = TOOL
    model: str
    sha256: str
    bytes: int
    nodes: int
    dims: list[dict[str, int]]
    groups: list[GroupEntry]
    frozen: list[FrozenEntry]
    totals: Totals
    branches: list[BranchEntry] = Field(default_factory=list)
    why: WhyEntry | None = None
    seconds: dict[str, float] = Field(default_factory=dict)


class ModelFacts(Document):
    """A model file in numbers."""

    path: str
    sha256: str
    bytes: int
    params: int
    macs: int
    nodes: int


class Achieved(Document):
    """Fractions that were removed."""

    params: float
    macs: float
    bytes: float


class Verified(Document):
    """Outcome of the comparison with the masked original.

    Attributes:
        exact: whether every output agreed within tolerance.
        max_abs: largest difference, null when it is not finite.
        max_rel: the same, relative to the largest value of the output.
        feeds: number of inputs tried.
    """

    exact: bool
    max_abs: float | None
    max_rel: float | None
    feeds: int


class LayerEntry(Document):
    """A node that multiplies with a weight, before and after.

    Attributes:
        node: the node.
        op: its operator.
        weight: its largest parameter.
        shape_before: shape of the parameter.
        shape_after: shape of what is left of it; where the node stands in the file several times,
            with the rows of all of them.
        macs_before: multiply-accumulates of the node.
        macs_after: what is left of them.
        times: how often the node stands in the file, each time with rows of its own.
        reads: groups whose channels it sums over.
        makes: groups whose channels it makes.
    """

    node: str
    op: str
    weight: str
    shape_before: list[int]
    shape_after: list[int]
    macs_before: int
    macs_after: int
    times: int = 1
    reads: list[str]
    makes: list[str]


class CopiesMade(Document):
    """What letting consumers drop channels of their own adds to a network.

    Attributes:
        slices: Slice nodes added.
        gathers: Gather nodes added.
        bytes: bytes that they write in one run at the probe sizes.
        avoided: places at which some channels are not wanted and no copy is made, or one that
            another place needs as well.
        bytes_avoided: bytes that copies at these places would have written.
        predicted_us: predicted time of a run in microseconds, of the `original`; `constrained`,
            where consumers lose channels together and as many parameters stay; `naive`, with a copy
            at every place; `upscale`, in the order of the published path heuristic; as `written`.
    """

    slices: int
    gathers: int
    bytes: int
    avoided: int
    bytes_avoided: int
    predicted_us: dict[str, float] = Field(default_factory=dict)


class LatencyRound(Document):
    """One attempt at a latency: ratios of times to the original's."""

    predicted: float
    ratio: float
    ci95: tuple[float, float]
    trusted: bool
    macs: float


class LatencyEntry(Document):
    """How a target on latency was met.

    Attributes:
        requested: largest ratio of times that was asked for.
        predicted: what was expected of the result.
        ratio: what it measured.
        ci95: the interval of that, whose upper end met the request.
        align: step of channels that was kept.
        align_source: where that is known from, "" when it was given.
        iterations: all attempts; `trusted` tells whether the original was found equal to itself,
            `macs` what remains of the multiply-accumulates.
    """

    requested: float
    predicted: float
    ratio: float
    ci95: tuple[float, float]
    provider: str
    threads: int
    align: int
    align_source: str
    iterations: list[LatencyRound]


class PruneReport(Document):
    """What `prune --report` and `apply --report` write.

    Attributes:
        requested: the target, as given.
        settings: how the plan was made.
        groups_pruned: number of groups that lost something.
        groups_kept: number of groups that could have and did not.
        branches_removed: additions whose residual branch left as a whole.
        groups_frozen: number of places that hold back weights.
        approximate: whether groups were pruned whose removal is not exact.
        dropped: groups that were left out because a node cannot follow, with the reason.
        verified: null when verification was skipped.
        copies: what unconstrained pruning added, null otherwise.
        predicted_us: predicted time of a run on the CPU provider in microseconds, of the `original`
            and as `written`; empty where it is not known.
        layers: what became of each layer, in the order of the graph.
        fidelity: outputs against the original's on samples that were held back, null without any.
        metric: the user's metric before and after, null without one.
        search: the trials of `max_drop`, null when there was another target.
        latency: how a target on latency was met, null without one.
        notes: what the user should know.
        seconds: time by stage, by part of one as `stage.part`, and in `total`.
        peak_rss_bytes: largest memory of this process, null where the system does not tell.
    """

    format: Literal["onnxprune.prune/1"] = "onnxprune.prune/1"
    tool: str = TOOL
    input: ModelFacts
    output: ModelFacts
    plan_sha256: str
    requested: dict[str, float | int | str]
    settings: dict[str, Any]
    achieved: Achieved
    groups_pruned: int
    groups_kept: int
    groups_frozen: int
    branches_removed: list[str] = Field(default_factory=list)
    approximate: bool
    dropped: dict[str, str]
    verified: Verified | None
    copies: CopiesMade | None = None
    predicted_us: dict[str, float] = Field(default_factory=dict)
    layers: list[LayerEntry] = Field(default_factory=list)
    fidelity: Fidelity | None = None
    metric: MetricChange | None = None
    search: list[SearchStep] | None = None
    latency: LatencyEntry | None = None
    notes: list[str]
    seconds: dict[str, float]
    peak_rss_bytes: int | None


class VerifyReport(Document):
    """What `verify --json` writes.

    Attributes:
        method: `masked` compared with the original whose removed channels were silenced, which
            proves the pruned file right; `outputs` compared with the original as it is, which can
            only tell that the interface is the same.
        plan: where the plan came from, null without one.
        passed: whether the check passed.
        exact: whether every output agrees; null when nothing was compared that could be exact.
        failures: what disagrees.
    """

    format: Literal["onnxprune.verify/1"] = "onnxprune.verify/1"
    tool: str = TOOL
    original: str
    pruned: str
    method: Literal["masked", "outputs"]
    plan: Literal["given", "reconstructed"] | None
    passed: bool
    exact: bool | None
    max_abs: float | None
    max_rel: float | None
    feeds: int
    failures: list[str]

"""The prune plan: what leaves, as a small readable file."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from onnxprune.version import __version__


class PlanSlice(BaseModel):
    """What leaves of one parameter along one axis.

    `removed` lists indices of the axis. Where rows of another axis lose different indices, that
    axis is `block_axis` and `blocks` lists the indices of each block of its rows.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    initializer: str
    axis: int
    removed: list[int] = Field(default_factory=list)
    block_axis: int | None = None
    blocks: list[list[int]] | None = None


class PlanGroup(BaseModel):
    """What leaves of one coupled group; `removed` numbers its atoms."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    size: int
    removed: list[int]
    exact: bool
    score: dict[str, Any] = Field(default_factory=dict)
    slices: list[PlanSlice]


class PlanLayout(BaseModel):
    """How what a group keeps is laid out, or what a value keeps that is in no group.

    Attributes:
        id: the group, or `value:` and the value.
        unread: removed atoms that stay in the file with zero weights, because a copy without them
            would cost more.
        order: the atom that stands at every place; None for the original order.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    unread: list[int] = Field(default_factory=list)
    order: list[int] | None = None


class PlanBranch(BaseModel):
    """A residual branch that leaves as a whole.

    Attributes:
        id: its id in the analysis.
        add: output of the addition that it ends in.
        value: the summand that leaves.
        removed: names of the nodes that leave with it.
        score: why it was chosen.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    add: str
    value: str
    removed: list[str]
    score: dict[str, Any] = Field(default_factory=dict)


class PlanRepair(BaseModel):
    """Repaired weights that belong to a plan: a safetensors file beside it.

    Attributes:
        file: name of the file, in the directory of the plan.
        weights: SHA-256 of the content of each repaired weight, by initializer.
        biases: SHA-256 of each new bias, by the output of the node that gets it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: str
    weights: dict[str, str] = Field(default_factory=dict)
    biases: dict[str, str] = Field(default_factory=dict)


class PrunePlan(BaseModel):
    """A plan for one model.

    Attributes:
        format: name and version of the format.
        tool: name and version of the program.
        model_sha256: digest of the model it was made for.
        coupling: `constrained` removes an atom for all its consumers; `unconstrained` lets each
            consumer of a value lose channels of its own.
        forks: the values whose consumers do so.
        layout: what is kept unread and in which order channels stand, by group.
        joined: outputs of concatenations behind which one copy serves all operands.
        apart: outputs of operators that are written once for every consumer, with its own rows.
        groups: what leaves.
        branches: residual branches that leave as wholes; absent in the file when there are none.
        settings: how the plan was made.
        plugins: name and version of plug-ins that took part.
        predicted: fractions of macs and params that remain.
        repair: repaired weights that the plan is applied with, if any.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["onnxprune.plan/1"] = "onnxprune.plan/1"
    tool: str = f"onnxprune {__version__}"
    model_sha256: str
    coupling: Literal["constrained", "unconstrained"] = "constrained"
    forks: list[str] | None = None
    groups: list[PlanGroup]
    layout: list[PlanLayout] | None = None
    branches: list[PlanBranch] = Field(default_factory=list)
    joined: list[str] | None = None
    apart: list[str] | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    plugins: dict[str, str] = Field(default_factory=dict)
    predicted: dict[str, float] = Field(default_factory=dict)
    repair: PlanRepair | None = None

    def to_json(self) -> str:
        """Return the plan as readable JSON: one slice a line, keys in a fixed order."""
        data = self.model_dump(mode="json", exclude_none=True)
        groups = data.pop("groups")
        layout = data.pop("layout", None)
        if not self.branches:
            del data["branches"]
        head = json.dumps(data, indent=1)[:-2]
        lines = []
        for group in groups:
            slices = group.pop("slices")
            body = ",\n   ".join(json.dumps(s, ensure_ascii=False) for s in slices)
            lines.append(
                f'  {json.dumps(group, ensure_ascii=False)[:-1]}, "slices": [\n   {body}]}}'
            )
        text = f'{head},\n "groups": [\n' + ",\n".join(lines) + "\n ]"
        if layout is not None:
            body = ",\n".join(f"  {json.dumps(entry)}" for entry in layout)
            text += f',\n "layout": [\n{body}\n ]'
        return text + "\n}\n"

    @property
    def digest(self) -> str:
        """SHA-256 of what the plan says, for the provenance of the model it made."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

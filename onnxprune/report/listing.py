"""What the tables of rules, criteria and allocations hold."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import onnxprune.rules  # noqa: F401 - registers the rules
from onnxprune import plugins
from onnxprune.allocation import ALLOCATIONS
from onnxprune.core.registry import RULES
from onnxprune.criteria import CRITERIA
from onnxprune.recovery import RECOVERIES
from onnxprune.recovery.registry import NONE
from onnxprune.report.document import TOOL, Document

if TYPE_CHECKING:
    from onnxprune.allocation import Allocation
    from onnxprune.criteria import Criterion
    from onnxprune.recovery import Recovery


class RuleEntry(Document):
    """An operator that the analysis understands."""

    op: str
    domain: str
    since: int
    module: str
    summary: str


class RulesReport(Document):
    """What `rules --json` writes."""

    format: Literal["onnxprune.rules/1"] = "onnxprune.rules/1"
    tool: str = TOOL
    rules: list[RuleEntry]


class MethodEntry(Document):
    """A criterion, an allocation or a recovery."""

    name: str
    samples: bool = False
    module: str
    summary: str


class CriteriaReport(Document):
    """What `criteria --json` writes."""

    format: Literal["onnxprune.criteria/1"] = "onnxprune.criteria/1"
    tool: str = TOOL
    criteria: list[MethodEntry]
    allocations: list[MethodEntry]
    recoveries: list[MethodEntry]


class PluginEntry(Document):
    """An installed plug-in.

    Attributes:
        name: name of its entry point.
        distribution: the package that it comes in.
        version: version of the package.
        group: what it extends.
        module: the module that registers it.
        status: whether it is there.
        error: why it failed.
        registered: names of what it adds.
    """

    name: str
    distribution: str
    version: str
    group: str
    module: str
    status: Literal["loaded", "failed", "not allowed"]
    error: str | None
    registered: list[str]


class PluginsReport(Document):
    """What `plugins --json` writes."""

    format: Literal["onnxprune.plugins/1"] = "onnxprune.plugins/1"
    tool: str = TOOL
    plugins: list[PluginEntry]


def list_rules() -> RulesReport:
    """List every operator that has a rule, those of plug-ins too."""
    plugins.load_plugins(plugins.RULES)
    return RulesReport(
        rules=[
            RuleEntry(
                op=entry.op, domain=entry.domain or "ai.onnx", since=entry.since,
                module=entry.module, summary=entry.summary,
            )
            for entry in RULES
        ]
    )  # fmt: skip


def list_criteria() -> CriteriaReport:
    """List the criteria, the allocations and the recoveries, those of plug-ins too."""
    plugins.load_plugins(plugins.CRITERIA, plugins.ALLOCATIONS, plugins.RECOVERIES)
    return CriteriaReport(
        criteria=[
            _entry(c, f"{c.name}:{c.argument}" if c.argument else c.name, samples=c.samples)
            for _, c in sorted(CRITERIA.items())
        ],
        allocations=[_entry(a, a.name, samples=a.samples) for _, a in sorted(ALLOCATIONS.items())],
        recoveries=[
            _entry(r, r.name, samples=r.name != NONE) for _, r in sorted(RECOVERIES.items())
        ],
    )


def list_plugins() -> PluginsReport:
    """List the installed plug-ins, all of them loaded that may be."""
    with warnings.catch_warnings():  # the list says what is wrong with each
        warnings.simplefilter("ignore", plugins.PluginWarning)
        plugins.load_plugins(*plugins.GROUPS)
    return PluginsReport(
        plugins=[
            PluginEntry(
                name=p.name, distribution=p.distribution, version=p.version, group=p.group,
                module=p.module, status=_status(p), error=p.error or None,
                registered=sorted({name for _, name in p.registered}),
            )
            for p in plugins.list_plugins()
        ]
    )  # fmt: skip


def _status(plugin: plugins.Plugin) -> Literal["loaded", "failed", "not allowed"]:
    if plugin.error:
        return "failed"
    return "loaded" if plugin.allowed else "not allowed"


def _entry(method: Criterion | Allocation | Recovery, name: str, *, samples: bool) -> MethodEntry:
    return MethodEntry(name=name, samples=samples, module=method.module, summary=method.summary)

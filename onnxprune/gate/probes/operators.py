"""Which operators and opsets a model uses: a device, or a policy, may know only some."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from onnxprune.errors import printable
from onnxprune.gate.entries import decide
from onnxprune.gate.probes.registry import probe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import onnx

    from onnxprune.gate.document import CheckEntry
    from onnxprune.gate.job import Job

__all__ = ["used_operators", "used_opsets"]

_MOST_SHOWN = 20


@probe("allow_ops", "allow_opsets", static=True)
def check_operators(job: Job) -> list[CheckEntry]:
    """Compare operators and opsets with the lists of what is allowed."""
    section, proto = job.section, job.pruned.proto
    entries = []
    if section.allow_ops is not None:
        allowed = [name.removeprefix("ai.onnx.") if name.count(".") == 2 else name
                   for name in section.allow_ops]  # fmt: skip
        extra = [
            name
            for name in used_operators(proto)
            if not any(fnmatchcase(name, pattern) for pattern in allowed)
        ]
        entries.append(_entry("allow-ops", section.allow_ops, extra))
    if section.allow_opsets is not None:
        known = {str(version) for version in section.allow_opsets}
        extra = [name for name in used_opsets(proto) if name not in known]
        entries.append(_entry("allow-opsets", sorted(known), [f"opset {e}" for e in extra]))
    return entries


def used_operators(proto: onnx.ModelProto) -> list[str]:
    """Return the operators of a model, those in functions and bodies included, by name.

    Outside of ai.onnx the domain stands in front. Calls of the model's own functions are none.
    """
    own = {(f.domain, f.name) for f in proto.functions}
    nodes = [*_nodes(proto.graph.node), *(n for f in proto.functions for n in _nodes(f.node))]
    used = {(n.domain, n.op_type) for n in nodes} - own
    return sorted(name if domain in _DEFAULT else f"{domain}.{name}" for domain, name in used)


def used_opsets(proto: onnx.ModelProto) -> list[str]:
    """Return the opsets of a model: the version, with `domain:` in front outside of ai.onnx."""
    own = {f.domain for f in proto.functions}
    entries = [*proto.opset_import, *(o for f in proto.functions for o in f.opset_import)]
    return sorted(
        {
            str(entry.version) if entry.domain in _DEFAULT else f"{entry.domain}:{entry.version}"
            for entry in entries
            if entry.domain not in own
        }
    )


_DEFAULT = ("", "ai.onnx")


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _nodes(body.node)


def _entry(name: str, allowed: list[str], extra: list[str]) -> CheckEntry:
    shown = [printable(e) for e in extra[:_MOST_SHOWN]]
    if len(extra) > _MOST_SHOWN:
        shown.append(f"and {len(extra) - _MOST_SHOWN} more")
    message = f"{', '.join(shown)}: used, and allowed are only {', '.join(allowed)}"
    if not extra:
        message = f"nothing is used but {', '.join(allowed)}"
    return decide(name, allowed, shown, kept=not extra, message=message)

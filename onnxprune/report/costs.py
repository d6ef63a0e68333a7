"""Fill the cost table of a provider for models, and say what came out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from onnxprune.analysis import analyze_model
from onnxprune.analysis.expansion import expand
from onnxprune.bench.profile import profile_model
from onnxprune.core.shapes import concretize
from onnxprune.costs.align import choose_alignment
from onnxprune.costs.collect import identity_of, open_collection
from onnxprune.costs.network import layers_of, price_network
from onnxprune.errors import InvalidConfigError
from onnxprune.planning.latency import demanded
from onnxprune.providers.emulator import emulation
from onnxprune.providers.spec import parse_spec
from onnxprune.report.document import TOOL, Document
from onnxprune.report.tables import plain_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from onnxprune.stages import Progress

__all__ = ["CostsReport", "ModelCosts", "calibrate", "costs_table"]


class ModelCosts(Document):
    """What was found out about one model.

    Attributes:
        model: the file.
        layers: its convolutions and products.
        kinds: how many of them differ.
        measured: times that were not known before.
        profile_us: time of all its nodes in a run.
        layers_us: time of its layers there.
        table_us: the same by the table, each layer measured alone.
        align: step of channels that pays.
        align_source: where that is known from.
    """

    model: str
    layers: int
    kinds: int
    measured: int
    profile_us: float
    layers_us: float
    table_us: float
    align: int
    align_source: str


class CostsReport(Document):
    """What `calibrate-costs --json` writes."""

    format: Literal["onnxprune.costs/1"] = "onnxprune.costs/1"
    tool: str = TOOL
    provider: str
    threads: int
    onnxruntime: str
    cpu: str
    file: str
    times: int
    models: list[ModelCosts]
    notes: list[str]


def calibrate(
    models: Sequence[str | Path],
    *,
    provider: str = "cpu",
    threads: int = 1,
    dims: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> CostsReport:
    """Measure what the layers of models take at various widths, and keep it.

    Args:
        models: files.
        provider: the provider, as `name[:option=value,...]`.
        threads: threads within an operator.
        dims: sizes of symbolic dimensions.
        progress: called with the model, and how much of how much is done.

    Raises:
        InvalidModelError: a file is no usable model.
        InvalidConfigError: there is no such provider.
        ProviderUnavailableError: the provider is missing, or did not run a model rightly.
    """
    if not models:
        message = "there is no model whose layers to measure"
        raise InvalidConfigError(message)
    spec = parse_spec(provider)
    entries, notes, collections = [], [], []
    for path in models:
        name = Path(path).name

        def tell(done: int, total: int, name: str = name) -> None:
            if progress is not None:
                progress(f"measure layers of {name}", done, total)

        tell(0, 0)
        analysis = analyze_model(path, dims=dims)
        profile = profile_model(Path(path), spec, threads=threads, dims=dims)
        examination = profile.examination
        identity = identity_of(spec, threads, examination.runtime_version, examination.availability)
        collection = open_collection(spec, identity, progress=tell)
        collections.append(collection)
        graph = analysis.deps.graph
        [shapes] = concretize(graph, analysis.model.array, [profile.subject.dims])
        layers = layers_of(graph, shapes)
        alignment = choose_alignment(layers, collection.table, spec)
        network = price_network(graph, shapes, collection.table, profile.node_us)
        free = expand(analysis)
        if free.forks:
            collection.table.fill(demanded(free.deps, collection.table))
        priced = [n for n in network.nodes if n.surface is not None]
        entries.append(
            ModelCosts(
                model=str(path), layers=len(layers),
                kinds=len({layer.key for layer in layers.values()}), measured=collection.added,
                profile_us=round(network.total_us, 1),
                layers_us=round(sum(n.us for n in priced), 1),
                table_us=round(sum(n.surface.at(n.before) for n in priced if n.surface), 1),
                align=alignment.step, align_source=alignment.source,
            )
        )  # fmt: skip
        if not collection.kept:
            notes.append(f"'{collection.directory}' cannot be written: the times are not kept")
    if emulation(spec.facts):
        notes.append(f"{spec.text} computes on {emulation(spec.facts)}: these are no latencies")
    last = collections[-1]
    return CostsReport(
        provider=spec.text, threads=threads, onnxruntime=last.identity.runtime,
        cpu=last.identity.cpu,
        file=str(last.directory / "costs" / last.identity.file_name),
        times=len(last.table.measured), models=entries, notes=list(dict.fromkeys(notes)),
    )  # fmt: skip


def costs_table(report: CostsReport) -> Table:
    """Return the table of what was measured."""
    table = plain_table(
        f"Costs of layers on {report.provider}, {report.threads} threads",
        "model", "layers", "kinds", "measured", "in the network", "alone", "step",
    )  # fmt: skip
    for entry in report.models:
        table.add_row(
            Path(entry.model).name, str(entry.layers), str(entry.kinds), str(entry.measured),
            f"{entry.layers_us / 1e3:.3f} ms", f"{entry.table_us / 1e3:.3f} ms", str(entry.align),
        )  # fmt: skip
    return table

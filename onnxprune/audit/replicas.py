"""Pruned variants of one network, made as a plan was made, on resampled calibration data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from onnxprune import pipeline
from onnxprune.calibration import collect_samples
from onnxprune.errors import InvalidConfigError, printable
from onnxprune.planning.plans import read_plan
from onnxprune.runtime.inputs import input_specs
from onnxprune.verification import runnable_recipe

if TYPE_CHECKING:
    from pathlib import Path

    from onnxprune.core.plan import PrunePlan
    from onnxprune.stages import Progress

__all__ = ["make_replicas", "replica_options"]

_TARGETS: Final = {"ratio": "ratio", "macs": "remove_macs", "params": "remove_params"}
_KEPT: Final = (
    "criterion", "allocation", "seed", "min_channels", "max_group_ratio", "allow_approximate",
    "depth", "exclude", "only",
)  # fmt: skip


def make_replicas(
    original: Path,
    plan: Path,
    calibration: Path,
    folder: Path,
    *,
    count: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[Path]:
    """Prune a network again and again, each time on a bootstrap resample of the samples.

    A resample has as many samples as the plan was made with, drawn with replacement (Efron 1979).

    Args:
        original: the original.
        plan: the plan whose settings are taken.
        calibration: the samples that the plan was made with.
        folder: where the pruned models go.
        count: how many are made.
        seed: of the resampling.
        progress: called with what is being done, and how much of how much.

    Raises:
        InvalidConfigError: the plan was made without samples, or they are not what inputs want.
    """
    read = read_plan(plan)
    options, samples, recovery = replica_options(read, plan)
    analysis = pipeline.analyze(original)
    collected = collect_samples(
        calibration, input_specs(analysis.model.proto), recipe=lambda: runnable_recipe(analysis),
        samples=samples, seed=options.get("seed", 0),
    )  # fmt: skip
    feeds = [*collected.fit, *collected.held]  # of each resample, as many are held back again
    random = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        if progress is not None:
            progress("making replicas", number, count)
        drawn = random.integers(0, len(feeds), len(feeds))
        paths.append(folder / f"replica{number}.onnx")
        pipeline.prune(
            analysis, paths[-1], verify=False, calibration=[feeds[i] for i in drawn],
            samples=samples, recovery=recovery, **options,
        )  # fmt: skip
    return paths


def replica_options(plan: PrunePlan, path: Path) -> tuple[dict[str, Any], int, str]:
    """Return the options of `prune` that a plan was made with, its samples and its recovery.

    Args:
        plan: the plan.
        path: its file, for the message.

    Raises:
        InvalidConfigError: it was made without samples.
    """
    settings = plan.settings
    if "samples" not in settings:
        message = f"the plan '{printable(path)}' was made without samples: a resample of the data "
        message += "changes nothing"
        raise InvalidConfigError(message, hint="give further pruned models instead of --replicas")
    options: dict[str, Any] = {name: settings[name] for name in _KEPT if name in settings}
    options["coupling"] = plan.coupling
    options["align"] = "auto" if settings.get("align_source") else settings.get("align", 1)
    target = _TARGETS.get(str(settings.get("target")))
    if isinstance(settings.get("depth"), int):
        pass  # whole branches leave, and that is the target
    elif target is None:  # a size or a latency: what it came to in multiply-accumulates
        options["remove_macs"] = 1 - plan.predicted["macs"]
    else:
        options[target] = settings["amount"]
    return options, int(settings["samples"]), str(settings.get("recovery", "least-squares"))

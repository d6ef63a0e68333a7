"""Prune one torchvision network with Torch-Pruning and say how long that took.

Runs in an interpreter that has torch, torchvision and torch-pruning; nothing else in the benchmark
imports them. Prints one JSON object, also when the job fails: `error` then says how.

What is timed is what the other side's *analyse + plan + apply* is: building the pruner (it traces
the network and builds the dependency graph) and one step of it (importance and removal). Imports,
the making of the network and the trial run of the result are not part of it.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import resource
import time
import warnings
from typing import TYPE_CHECKING, Any

from memory import peak_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

CLASSES = 1000
PACKAGES = ("torch", "torchvision", "torch-pruning")

# What a user has to change in a network by hand before the pruned one runs.
REPAIRS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "vit_b_16": (
        "hidden_dim set by hand",
        lambda model: setattr(model, "hidden_dim", model.conv_proj.out_channels),
    )
}


def short(error: BaseException) -> str:
    """Return the type and the first line of an error."""
    text = str(error).strip().partition("\n")[0][:160]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class Job:
    """One network and what became of it."""

    def __init__(self, name: str, ratio: float) -> None:
        self.name = name
        self.ratio = ratio
        self.result: dict[str, Any] = {"seconds": {}, "cpu_seconds": {}, "error": None}

    def timed(self, stage: str, function: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Call a function and keep how long it took."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return function()
        finally:
            self.result["seconds"][stage] = round(time.perf_counter() - wall, 4)
            self.result["cpu_seconds"][stage] = round(time.process_time() - cpu, 4)

    def run(self) -> None:
        """Build, prune and try the network."""
        start = time.perf_counter()
        import torch  # noqa: PLC0415  # imports are timed apart
        import torch_pruning  # noqa: PLC0415
        from torchvision_stub import import_torchvision  # noqa: PLC0415

        models = import_torchvision().models
        self.result["seconds"]["import"] = round(time.perf_counter() - start, 4)
        torch.set_num_threads(1)
        torch.manual_seed(0)
        model = models.get_model(self.name, weights=None).eval()
        inputs = torch.randn(1, 3, 224, 224)
        linear = torch.nn.Linear
        heads = [m for m in model.modules() if isinstance(m, linear) and m.out_features == CLASSES]
        before = sum(p.numel() for p in model.parameters())

        pruner = self.timed(
            "build",
            lambda: torch_pruning.pruner.MagnitudePruner(
                model, inputs, importance=torch_pruning.importance.MagnitudeImportance(p=2),
                pruning_ratio=self.ratio, ignored_layers=heads,
            ),
        )  # fmt: skip
        self.timed("prune", pruner.step)
        self.result["params"] = round(sum(p.numel() for p in model.parameters()) / before, 4)
        with torch.no_grad():
            self.try_out(lambda: model(inputs), model)

    def try_out(self, forward: Callable[[], Any], model: Any) -> None:  # noqa: ANN401
        """Run the pruned network, as it is and after the known repair."""
        try:
            forward()
        except Exception as error:  # noqa: BLE001  # any failure is a result
            self.result["error"] = f"the pruned network does not run: {short(error)}"
        else:
            return
        if self.name in REPAIRS:
            what, repair = REPAIRS[self.name]
            repair(model)
            forward()
            self.result["repair"] = what


def main() -> None:
    """Prune and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="torchvision's name of the network")
    parser.add_argument("--ratio", type=float, required=True)
    parser.add_argument("--memory-limit", type=int, required=True, metavar="BYTES")
    args = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (args.memory_limit, args.memory_limit))
    warnings.simplefilter("ignore")
    job = Job(args.name, args.ratio)
    start = time.perf_counter()
    try:
        job.run()
    except Exception as error:  # noqa: BLE001  # any failure is a result
        job.result["error"] = f"{short(error)} after {time.perf_counter() - start:.0f} s"
    job.result["peak_bytes"] = peak_bytes()
    job.result["versions"] = {name: importlib.metadata.version(name) for name in PACKAGES}
    print(json.dumps(job.result))


if __name__ == "__main__":
    main()

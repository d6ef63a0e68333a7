"""Prune the tasks' networks with torch-pruning, as a peer to compare with.

Its group magnitude importance scores channels; streams of residual networks take part, as they do
here. Every pruned network is written as an ONNX file for `run.py --peers`. It needs the networks as
PyTorch modules, which there are for three tasks. Run it in an environment of its own, from the root
of the repository::

    pip install torch==2.13.0 torch-pruning==1.6.1 onnx onnxruntime safetensors
    python benchmarks/accuracy/peer_torch_pruning.py --models DIR --to DIR [TASK ...]
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import torch
import torch_pruning as tp
from onnx import numpy_helper
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))
import itertools

from convert_models import OPSET, Conversion, effnet_lite0, minilm

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TARGETS = {
    "resnet20-cifar10": "remove_macs=0.1 remove_macs=0.2 remove_macs=0.3 remove_macs=0.5 "
    "ratio=0.3 ratio=0.5",
    "efficientnet-lite0": "remove_macs=0.05 remove_macs=0.1 remove_macs=0.2 remove_macs=0.3",
    "minilm": "ratio=0.1 ratio=0.3 ratio=0.5 ratio=0.7",
}
BISECTIONS = 10


class Block(nn.Module):
    """Two 3 x 3 convolutions beside an identity or a projection."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.b1 = nn.BatchNorm2d(outputs)
        self.c2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.b2 = nn.BatchNorm2d(outputs)
        projection = (nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.d = nn.Sequential(*(projection if stride > 1 else ()))

    def forward(self, x: Tensor) -> Tensor:
        y = self.b2(self.c2(torch.relu(self.b1(self.c1(x)))))
        return torch.relu(y + self.d(x))


class ResNet20(nn.Module):
    """The network of `resnet20_cifar10.onnx`, with its names."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.b = nn.BatchNorm2d(16)
        widths = (16, 16, 16, 16, 32, 32, 32, 64, 64, 64)
        pairs = itertools.pairwise(widths)
        self.l = nn.Sequential(*(Block(i, o, 1 + (i != o)) for i, o in pairs))
        self.f = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.l(torch.relu(self.b(self.c(x))))
        return self.f(x.mean((2, 3)))


def resnet20(models: Path) -> Conversion:
    """Read the weights out of the ONNX file."""
    graph = onnx.load(models / "resnet20_cifar10.onnx").graph
    state = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    # Equal vectors are stored once.
    state |= {n.output[0]: state[n.input[0]] for n in graph.node if n.op_type == "Identity"}
    model = ResNet20()
    missing = model.load_state_dict(state, strict=False).missing_keys
    assert all(name.endswith("num_batches_tracked") for name in missing), missing
    return Conversion(
        model=model,
        inputs=("x",),
        outputs=("y",),
        dynamic_axes={"x": {0: "N"}, "y": {0: "N"}},
        samples=((torch.randn(2, 3, 32, 32),),),
    )


SOURCES: dict[str, Callable[[Path], Conversion]] = {
    "resnet20-cifar10": resnet20,
    "efficientnet-lite0": effnet_lite0,
    "minilm": minilm,
}


def prune(conversion: Conversion, ratio: float, *, global_: bool) -> tuple[nn.Module, float]:
    """Return a pruned copy and the share of multiply-accumulates that it lacks."""
    model, sample = copy.deepcopy(conversion.model), conversion.samples[0]
    pruner = tp.pruner.BasePruner(
        model,
        sample,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=global_,
        pruning_ratio=ratio,
        ignored_layers=kept_layers(model),
    )
    pruner.step()
    return model, 1 - count_macs(model, sample) / count_macs(conversion.model, sample)


def count_macs(model: nn.Module, sample: tuple[Tensor, ...]) -> int:
    """Count multiply-accumulates as onnxprune does, in every subclass of the two layers as well."""
    total = 0

    def count(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(layer, nn.Conv2d | nn.Linear)
        channels = layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features
        total += output.numel() // channels * layer.weight.numel()

    counted = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in counted]
    with torch.no_grad():
        model(*sample)
    for hook in hooks:
        hook.remove()
    return total


def kept_layers(model: nn.Module) -> list[nn.Module]:
    """Return the layers whose outputs stay: the classifier; all but the MLPs' of a transformer."""
    linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    inner = {name for name in linear if name.endswith(".up")}
    return [m for name, m in linear.items() if name not in inner]


def meet(conversion: Conversion, target: str, *, global_: bool) -> nn.Module:
    """Return the copy that meets a target, by bisection where it is one of MACs."""
    name, _, amount = target.partition("=")
    wanted = float(amount)
    if name == "ratio":
        return prune(conversion, wanted, global_=global_)[0]
    low, high, best = 0.0, 1.0, None
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        model, removed = prune(conversion, middle, global_=global_)
        if removed < wanted:
            low = middle
        else:
            high, best = middle, model
    assert best is not None
    return best


def export(model: nn.Module, conversion: Conversion, path: Path) -> None:
    """Write a pruned copy as the original was written."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            conversion.samples[0],
            path,
            input_names=list(conversion.inputs),
            output_names=list(conversion.outputs),
            dynamic_axes=conversion.dynamic_axes,
            opset_version=OPSET,
            dynamo=False,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Prune the named tasks' networks, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(SOURCES)}")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    args = parser.parse_args(argv)
    args.to.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for task in args.tasks or SOURCES:
        torch.manual_seed(0)
        conversion = SOURCES[task](args.models)
        conversion.model.eval()
        for target in TARGETS[task].split():
            allocations = ("uniform",) if target.startswith("ratio") else ("uniform", "global")
            for allocation in allocations:
                name = f"{task}.torch-pruning.magnitude.{allocation}.{target}.onnx"
                with contextlib.redirect_stdout(io.StringIO()):  # (a network that prints shapes)
                    model = meet(conversion, target, global_=allocation == "global")
                    export(model, conversion, args.to / name)
                print(name, flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Prune an exported network, and go on training the pruned one in PyTorch.

Takes torch beside onnxprune: pip install torch safetensors
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import onnxprune


class Network(nn.Module):
    """A small residual network; its widths are read off a checkpoint, or are the usual ones."""

    def __init__(self, state: dict[str, torch.Tensor] | None = None) -> None:
        super().__init__()

        def width(name: str, usual: int) -> int:
            return len(state[name]) if state else usual

        stream, inner = width("stem.weight", 16), width("first.weight", 32)
        self.stem = nn.Conv2d(3, stream, 3, padding=1)
        self.first = nn.Conv2d(stream, inner, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(inner)
        self.second = nn.Conv2d(inner, stream, 3, padding=1)
        self.head = nn.Linear(stream, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return class scores."""
        stream = self.stem(image).relu()
        stream = stream + self.second(self.norm(self.first(stream)).relu())
        return self.head(stream.mean((2, 3)))


def main() -> None:
    """Export, prune, cut the checkpoint, and compare the two pruned networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where to write")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    network = Network()
    for _ in range(3):  # so that the normalisation has statistics
        network(torch.randn(8, 3, 16, 16))
    network.eval()

    # Without constant folding the normalisation stays a layer of its own, under its own name.
    image = torch.randn(1, 3, 16, 16)
    torch.onnx.export(
        network, (image,), folder / "network.onnx", dynamo=False, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE, input_names=["image"],
    )  # fmt: skip
    save_file(network.state_dict(), folder / "network.safetensors")

    plan = onnxprune.plan(folder / "network.onnx", ratio=0.5)
    onnxprune.apply(folder / "network.onnx", plan, folder / "small.onnx")
    onnxprune.apply_to_state_dict(
        folder / "network.onnx", plan, folder / "network.safetensors", folder / "small.safetensors"
    )

    state = load_file(folder / "small.safetensors")
    small = Network(state)
    small.load_state_dict(state)
    small.eval()
    session = onnxruntime.InferenceSession(folder / "small.onnx")
    [wanted] = session.run(None, {"image": image.numpy()})
    difference = float(np.abs(small(image).detach().numpy() - wanted).max())
    count = sum(p.numel() for p in small.parameters())
    print(f"{count} parameters left; difference from the pruned ONNX file {difference:.1e}")
    assert difference < 1e-4, "the two pruned networks differ"

    small.train()
    optimizer = torch.optim.SGD(small.parameters(), lr=0.01)
    loss = nn.functional.cross_entropy(small(torch.randn(8, 3, 16, 16)), torch.arange(8))
    loss.backward()
    optimizer.step()
    print(f"one step of training: loss {loss.item():.2f}")


if __name__ == "__main__":
    main()

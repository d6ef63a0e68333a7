"""Train the demonstration model and write the files of `onnxprune/demo`.

A small residual network with the constructions that structural pruning has to respect (a residual
stream, a depthwise convolution with squeeze-excitation, a grouped convolution, a shortcut with a
projection) learns scikit-learn's 8 x 8 handwritten digits. The layers are wider than the task
needs, so there is something to take out. A third of the images is never trained on and ships as
the evaluation set; some of the training images ship, without labels, as calibration data.

Run it in an environment of its own, from the root of the repository:

    pip install torch==2.13.0 scikit-learn onnx
    python benchmarks/train_demo.py

On one kind of processor, the same versions and the same seed give the same files, byte for byte.
"""

from __future__ import annotations

import argparse
import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

DEMO = Path(__file__).resolve().parents[1] / "onnxprune" / "demo"
OPSET = 17
CALIBRATION_IMAGES = 256
BATCH = 64


def conv_norm(inputs: int, outputs: int, kernel: int, **options: int) -> nn.Sequential:
    """A convolution without bias, followed by its batch normalisation."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **options)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs))


class Activation(nn.Module):
    """ReLU; while training, now and then a whole channel of it is silenced.

    So no channel becomes indispensable: there is redundancy to find, as in a large network.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout2d(torch.relu(x), 0.1, training=self.training)


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside an identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv_norm(width, width, 3)
        self.second = conv_norm(width, width, 3)
        self.active = Activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.active(x + self.second(self.active(self.first(x))))


class SqueezeExcite(nn.Module):
    """Scale every channel by a gate computed from all channel means."""

    def __init__(self, width: int, squeezed: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(width, squeezed, 1)
        self.expand = nn.Conv2d(squeezed, width, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = nn.functional.adaptive_avg_pool2d(x, 1)
        return x * torch.sigmoid(self.expand(torch.relu(self.reduce(mean))))


class Inverted(nn.Module):
    """Expand, halve the resolution depthwise, gate, project; a projection is the shortcut."""

    def __init__(self, inputs: int, expanded: int, outputs: int) -> None:
        super().__init__()
        self.expand = conv_norm(inputs, expanded, 1)
        self.depthwise = conv_norm(expanded, expanded, 3, stride=2, groups=expanded)
        self.gate = SqueezeExcite(expanded, expanded // 4)
        self.project = conv_norm(expanded, outputs, 1)
        self.shortcut = conv_norm(inputs, outputs, 1, stride=2)
        self.active = Activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.active(self.depthwise(self.active(self.expand(x))))
        return self.active(self.project(self.gate(y)) + self.shortcut(x))


class Grouped(nn.Module):
    """A bottleneck whose 3 x 3 convolution works in groups, beside an identity."""

    def __init__(self, width: int, inner: int, conv_groups: int) -> None:
        super().__init__()
        self.reduce = conv_norm(width, inner, 1)
        self.grouped = conv_norm(inner, inner, 3, groups=conv_groups)
        self.expand = conv_norm(inner, width, 1)
        self.active = Activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.active(self.grouped(self.active(self.reduce(x))))
        return self.active(x + self.expand(y))


class Digits(nn.Module):
    """The demonstration network: [n 1 8 8] images in, [n 10] logits out."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_norm(1, 32, 3)
        self.active = Activation()
        self.basic = Basic(32)
        self.inverted = Inverted(32, 96, 64)
        self.grouped = Grouped(64, 64, 4)
        self.hidden = nn.Linear(64, 64)
        self.classes = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.basic(self.active(self.stem(x)))
        x = self.grouped(self.inverted(x))
        x = nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.classes(torch.relu(self.hidden(x)))


def split_digits(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training and evaluation images ([n 1 8 8], 0 to 1) and their labels."""
    digits = load_digits()
    images = (digits.images[:, None] / 16).astype(np.float32)
    labels = digits.target.astype(np.int64)
    train, test, train_labels, test_labels = train_test_split(
        images, labels, test_size=1 / 3, random_state=seed, stratify=labels
    )
    return train, test, train_labels, test_labels


def shifted(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move every image by up to one pixel each way."""
    padded = nn.functional.pad(images, (1, 1, 1, 1))
    offsets = torch.randint(0, 3, (len(images), 2), generator=generator).tolist()
    moved = [
        image[:, top : top + 8, left : left + 8]
        for image, (top, left) in zip(padded, offsets, strict=True)
    ]
    return torch.stack(moved)


def train(images: torch.Tensor, labels: torch.Tensor, *, epochs: int, seed: int) -> Digits:
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = Digits()
    # The decay makes the wide layers rely on some channels more than on others, as a long training
    # of a large network does: a good criterion can be told from chance.
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=3e-3
    )
    steps = epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=steps)
    loss_of = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=generator)
        total = 0.0
        # The last, smaller batch is left out: it would get the same say in the running means.
        for batch in order[: len(order) // BATCH * BATCH].split(BATCH):
            loss = loss_of(model(shifted(images[batch], generator)), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        if epoch % 30 == 29:
            print(f"epoch {epoch + 1:3}  loss {total / (len(images) // BATCH):.4f}")
    return model.eval()


def accuracy(model: Digits, images: torch.Tensor, labels: torch.Tensor) -> float:
    with torch.no_grad():
        return (model(images).argmax(1) == labels).double().mean().item()


def export(model: Digits, path: Path) -> None:
    """Write the network with its normalisation nodes and a symbolic batch."""
    buffer = io.BytesIO()
    warnings.simplefilter("ignore")  # this exporter is deprecated, and chosen for what it writes
    torch.onnx.export(
        model,
        (torch.zeros(2, 1, 8, 8),),
        buffer,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "batch"}, "logits": {0: "batch"}},
        opset_version=OPSET,
        # In its default mode the exporter folds each normalisation into its convolution.
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        dynamo=False,
    )
    proto = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(proto, full_check=True)
    path.write_bytes(buffer.getvalue())


def save_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz whose bytes depend on the arrays alone (`numpy.savez` dates its members)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.save(member, array)
            info = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, member.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=DEMO, help="folder for the files")
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    # One thread and deterministic kernels: sums are always taken in the same order. Running
    # variances of silent channels would decay to denormal numbers, which are slow wherever they go.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    torch.set_flush_denormal(True)

    images, test_images, labels, test_labels = split_digits(options.seed)
    model = train(
        torch.from_numpy(images),
        torch.from_numpy(labels),
        epochs=options.epochs,
        seed=options.seed,
    )
    parameters = sum(p.numel() for p in model.parameters())
    score = accuracy(model, torch.from_numpy(test_images), torch.from_numpy(test_labels))
    print(f"{parameters} parameters, accuracy {score:.4f} on {len(test_images)} unseen images")

    options.out.mkdir(parents=True, exist_ok=True)
    export(model, options.out / "digits.onnx")
    save_arrays(options.out / "calibration.npz", image=images[:CALIBRATION_IMAGES])
    save_arrays(options.out / "evaluation.npz", image=test_images, label=test_labels)
    for name in ("digits.onnx", "calibration.npz", "evaluation.npz"):
        print(f"{(options.out / name).stat().st_size:8} bytes  {name}")


if __name__ == "__main__":
    main()

"""Build ONNX files of the two benchmark models that are published as bare weights.

* ``effnet_lite0``: EfficientNet-Lite0, an ImageNet classifier. Input ``image`` [n 3 224 224], RGB,
  ``(pixel - 127) / 128``; output ``logits`` [n 1000]. BatchNormalization is folded by the export.
* ``minilm``: the sentence encoder all-MiniLM-L6-v2. Inputs ``input_ids`` and ``attention_mask``
  [n s]; outputs ``token_embeddings`` [n s 384] and ``sentence_embedding`` [n 384], the mean over
  the attended tokens scaled to length one.

The weights come from ``zoo.py fetch --kind weights``. Needs torch, safetensors, onnx and
onnxruntime. Every file is compared with the PyTorch model, at other batch sizes and sequence
lengths than it was traced with, before it gets its name.

Usage::

    python benchmarks/convert_models.py [effnet_lite0] [minilm] --weights DIR --to DIR
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import onnxruntime as ort
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OPSET = 17
TOLERANCE = 1e-4

EFFNET_WEIGHTS = "effnet_lite0_pth.pth"
EFFNET_CODE = "effnet_lite_arch.zip"
MINILM_WEIGHTS = "minilm_safetensors.safetensors"


class ConversionError(Exception):
    """A model could not be built, or its ONNX file does not compute what the model does."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A model with what its export needs: names, open axes and sample inputs.

    The first sample is the one traced; all of them are compared.
    """

    model: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dynamic_axes: Mapping[str, Mapping[int, str]]
    samples: tuple[tuple[Tensor, ...], ...]


# --- EfficientNet-Lite0 ---------------------------------------------------------------------------


def effnet_lite0(weights: Path) -> Conversion:
    """Load EfficientNet-Lite0 with the model code of its authors, straight from their archive."""
    archive = _existing(weights / EFFNET_CODE)
    state = torch.load(_existing(weights / EFFNET_WEIGHTS), weights_only=True)
    sys.path.insert(0, str(archive))
    try:
        from efficientnet_lite_pytorch import EfficientNet  # noqa: PLC0415  (in the archive)
    finally:
        sys.path.remove(str(archive))
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(state)
    return Conversion(
        model=model,
        inputs=("image",),
        outputs=("logits",),
        dynamic_axes={"image": {0: "n"}, "logits": {0: "n"}},
        samples=tuple((torch.rand(n, 3, 224, 224) * 2 - 1,) for n in (2, 1, 3)),
    )


# --- MiniLM ---------------------------------------------------------------------------------------

VOCABULARY, POSITIONS, LAYERS, HIDDEN, HEADS, FEED_FORWARD = 30522, 512, 6, 384, 12, 1536

# The published names of a layer's parts, and ours.
PARTS = {
    "attention.self.query": "query",
    "attention.self.key": "key",
    "attention.self.value": "value",
    "attention.output.dense": "mix",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "up",
    "output.dense": "down",
    "output.LayerNorm": "output_norm",
}
EMBEDDINGS = {
    "embeddings.word_embeddings.weight": "words.weight",
    "embeddings.position_embeddings.weight": "positions.weight",
    "embeddings.token_type_embeddings.weight": "types.weight",
    "embeddings.LayerNorm.weight": "norm.weight",
    "embeddings.LayerNorm.bias": "norm.bias",
}


class Layer(nn.Module):
    """A post-norm transformer layer: self-attention, then two dense layers with a GELU between."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(HIDDEN, HIDDEN)
        self.key = nn.Linear(HIDDEN, HIDDEN)
        self.value = nn.Linear(HIDDEN, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.attention_norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.up = nn.Linear(HIDDEN, FEED_FORWARD)
        self.down = nn.Linear(FEED_FORWARD, HIDDEN)
        self.output_norm = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Map [n s hidden] to [n s hidden]; ``bias`` [n 1 1 s] is added to the scores."""
        n, s, _ = x.shape
        width = HIDDEN // HEADS

        def heads(t: Tensor) -> Tensor:
            return t.view(n, s, -1, width).transpose(1, 2)

        query, key, value = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        scores = query @ key.transpose(2, 3) / width**0.5 + bias
        attended = (scores.softmax(-1) @ value).transpose(1, 2).reshape(n, s, -1)
        x = self.attention_norm(self.mix(attended) + x)
        return self.output_norm(self.down(nn.functional.gelu(self.up(x))) + x)


class SentenceEncoder(nn.Module):
    """BERT with mean pooling; all tokens have type 0 and there is no pooler."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Embedding(POSITIONS, HIDDEN)
        self.types = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map ids and mask [n s] to token embeddings [n s hidden] and their pooled [n hidden]."""
        positions = self.positions.weight[: input_ids.shape[1]]
        x = self.norm(self.words(input_ids) + positions + self.types.weight[0])
        mask = attention_mask.to(x.dtype)
        bias = (1 - mask[:, None, None, :]) * torch.finfo(x.dtype).min
        for layer in self.layers:
            x = layer(x, bias)
        weight = mask[:, :, None]
        mean = (x * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return x, nn.functional.normalize(mean, dim=1)


def minilm(weights: Path) -> Conversion:
    """Load all-MiniLM-L6-v2 into our own definition of its architecture."""
    published = load_file(_existing(weights / MINILM_WEIGHTS))
    names = dict(EMBEDDINGS)
    for layer in range(LAYERS):
        for theirs, ours in PARTS.items():
            for kind in ("weight", "bias"):
                names[f"encoder.layer.{layer}.{theirs}.{kind}"] = f"layers.{layer}.{ours}.{kind}"
    model = SentenceEncoder()
    model.load_state_dict({ours: published[theirs] for theirs, ours in names.items()})
    axes = {"input_ids": {0: "n", 1: "s"}, "attention_mask": {0: "n", 1: "s"}}
    return Conversion(
        model=model,
        inputs=("input_ids", "attention_mask"),
        outputs=("token_embeddings", "sentence_embedding"),
        dynamic_axes={
            **axes,
            "token_embeddings": axes["input_ids"],
            "sentence_embedding": {0: "n"},
        },
        samples=tuple(_tokens(n, s) for n, s in ((2, 16), (1, 7), (3, 128))),
    )


def _tokens(n: int, s: int) -> tuple[Tensor, Tensor]:
    """Draw ids, and masks of which every row but the first ends in padding."""
    lengths = torch.tensor([max(1, s - 2 * row) for row in range(n)])
    mask = (torch.arange(s) < lengths[:, None]).to(torch.int64)
    return torch.randint(1, VOCABULARY, (n, s)) * mask, mask


# --- Export ---------------------------------------------------------------------------------------

MODELS: dict[str, Callable[[Path], Conversion]] = {"effnet_lite0": effnet_lite0, "minilm": minilm}


def convert(name: str, weights: Path, *, to: Path) -> float:
    """Write ``to/NAME.onnx``, once it is known to compute what the PyTorch model computes.

    Returns:
        The largest absolute difference seen.
    """
    torch.manual_seed(0)
    conversion = MODELS[name](weights)
    conversion.model.eval()
    to.mkdir(parents=True, exist_ok=True)
    partial = to / f"{name}.onnx.part"
    try:
        with torch.no_grad(), warnings.catch_warnings():
            # The older exporter is wanted on purpose: it is what most ONNX files in use came from.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.filterwarnings("ignore", message="Constant folding - Only steps=1")
            torch.onnx.export(
                conversion.model,
                conversion.samples[0],
                partial,
                input_names=list(conversion.inputs),
                output_names=list(conversion.outputs),
                dynamic_axes=conversion.dynamic_axes,
                opset_version=OPSET,
                dynamo=False,
            )
        error = _difference(conversion, partial)
        if not error <= TOLERANCE:
            msg = f"{name}: ONNX Runtime and PyTorch differ by {error:.3g}, above {TOLERANCE:g}"
            raise ConversionError(msg)
        partial.replace(to / f"{name}.onnx")
    finally:
        partial.unlink(missing_ok=True)
    return error


def _difference(conversion: Conversion, path: Path) -> float:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for sample in conversion.samples:
        # The published EfficientNet code prints shapes as it runs.
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            expected = conversion.model(*sample)
        feeds = {k: v.numpy() for k, v in zip(conversion.inputs, sample, strict=True)}
        seen = session.run(list(conversion.outputs), feeds)
        wanted = (expected,) if isinstance(expected, Tensor) else expected
        for got, want in zip(seen, wanted, strict=True):
            worst = max(worst, float((torch.from_numpy(got) - want).abs().max()))
    return worst


def _existing(path: Path) -> Path:
    if not path.is_file():
        msg = f"{path} is missing; run zoo.py fetch --kind weights --to {path.parent}"
        raise ConversionError(msg)
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Convert the named models, or both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}")
    parser.add_argument("--weights", type=Path, required=True, metavar="DIR")
    parser.add_argument("--to", type=Path, required=True, metavar="DIR")
    args = parser.parse_args(argv)
    unknown = sorted(set(args.names) - set(MODELS))
    if unknown:
        parser.error(f"unknown model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    for name in args.names or MODELS:
        try:
            error = convert(name, args.weights, to=args.to)
        except ConversionError as problem:
            print(f"convert_models: {problem}", file=sys.stderr)
            return 1
        size = (args.to / f"{name}.onnx").stat().st_size
        print(f"{name}: {size:,} bytes, largest difference from PyTorch {error:.2g}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

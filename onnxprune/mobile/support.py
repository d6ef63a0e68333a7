"""Which operators each mobile provider takes.

The lists of NNAPI and Core ML come with ONNX Runtime's package. XNNPACK and QNN have none there;
theirs are facts from the pages of ONNX Runtime's documentation on the two providers (version 1.23).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from onnxprune.runtime.mobile import operator_list

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Support", "supports"]

_XNNPACK = {
    "AveragePool": "Only 2D Pool is supported.",
    "Clip": "Behind a convolution, with which it is fused.",
    "Conv": "Only 2D Conv is supported. Weights and bias should be constant.",
    "ConvTranspose": "Only 2D ConvTranspose is supported. Weights and bias should be constant.",
    "DequantizeLinear": "All quantization scales and zero points should be constant.",
    "Gemm": "Input B should be constant.",
    "MatMul": "Input B should be constant.",
    "MaxPool": "Only 2D Pool is supported.",
    "QLinearConv": "Only 2D Conv is supported. Weights and bias should be constant.",
    "QuantizeLinear": "All quantization scales and zero points should be constant.",
    "Relu": "Behind a convolution, with which it is fused.",
    "Resize": "Only 2D Resize is supported. Mode is linear.",
    "Softmax": "The axis is the last one.",
}
_QNN = (
    "Abs Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Conv "
    "ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div Einsum Elu Equal Erf Exp Expand "
    "Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool "
    "Greater GreaterOrEqual GridSample HardSigmoid HardSwish InstanceNormalization "
    "LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization LRN MatMul Max "
    "MaxPool Mean Min Mod Mul Neg Not Or PRelu Pad Pow QuantizeLinear RandomUniformLike Reciprocal "
    "ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round ScatterND "
    "Sigmoid Sign Sin Slice Softmax SpaceToDepth Split Sqrt Squeeze Sub Tanh ThresholdedRelu Tile "
    "TopK Transpose Unsqueeze Upsample Where Xor"
)


@dataclass(frozen=True, slots=True)
class Support:
    """What one provider takes.

    Attributes:
        provider: its name here.
        variant: which of its formats, "" where there is one.
        operators: conditions by (domain, operator).
        source: where the list comes from.
        precision: element types it computes in.
    """

    provider: str
    variant: str
    operators: Mapping[tuple[str, str], str]
    source: str
    precision: tuple[str, ...]


def supports() -> list[Support]:
    """Return the lists of all mobile providers.

    Raises:
        ProviderUnavailableError: ONNX Runtime, or a list in it, is not installed.
    """
    package, pages = "the installed ONNX Runtime", "ONNX Runtime's documentation"
    both = ("float32", "float16")
    return [
        Support("nnapi", "", operator_list("nnapi"), package, ("float32", "QDQ")),
        Support("coreml", "MLProgram", operator_list("coreml_mlprogram"), package, both),
        Support(
            "coreml", "NeuralNetwork", operator_list("coreml_neuralnetwork"), package,
            ("float32",),
        ),
        Support(
            "xnnpack", "", {("", op): note for op, note in _XNNPACK.items()}, pages,
            ("float32", "QDQ"),
        ),
        Support("qnn", "HTP", {("", op): "" for op in _QNN.split()}, pages, ("QDQ",)),
    ]  # fmt: skip

"""Read a model from a file that anybody may have sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from onnxprune.errors import InvalidModelError, printable
from onnxprune.io.files import map_file
from onnxprune.io.model import Model
from onnxprune.io.place import LocatedError
from onnxprune.io.skeleton import Stub, read_skeleton
from onnxprune.io.sniff import HEAD_BYTES, describe
from onnxprune.io.validate import validate_model
from onnxprune.io.wire import WireError

if TYPE_CHECKING:
    import onnx

__all__ = ["load_model"]

# Parsers refuse messages of 2 GiB; what remains after the payloads are out is far below in any
# network.
_MAX_SKELETON = (1 << 31) - 1


def load_model(path: str | Path) -> Model:
    """Read and check an ONNX model; its weights stay in the file.

    Args:
        path: The model file. Data files it names lie beside or below it.

    Returns:
        The model.

    Raises:
        InvalidModelError: When the file is missing, no ONNX model, broken, or names files it may
            not.
    """
    path = Path(path)
    content, identity = map_file(path)
    try:
        model = Model(path, content, identity)
        skeleton, stubs = _read_skeleton(content)
        _parse(model.proto, skeleton)
        validate_model(model, stubs)
        model.release()
    except InvalidModelError as error:
        between = ": " if isinstance(error, LocatedError) else " "
        msg = f"'{printable(path)}'{between}{error.message}"
        raise InvalidModelError(msg, hint=error.hint) from None
    except MemoryError:
        msg = f"'{printable(path)}' does not fit into memory"
        raise InvalidModelError(msg) from None
    return model


def _read_skeleton(content: memoryview) -> tuple[bytes, frozenset[Stub]]:
    if not content:
        msg = "is empty"
        raise InvalidModelError(msg, hint="download or copy the file again")
    try:
        skeleton, stubs = read_skeleton(content)
    except WireError as error:
        raise _not_a_model(content, error) from None
    if len(skeleton) > _MAX_SKELETON:
        msg = f"has {len(skeleton)} bytes besides its weights, at most {_MAX_SKELETON} can be read"
        raise InvalidModelError(msg)
    return skeleton, stubs


def _not_a_model(content: memoryview, error: WireError) -> InvalidModelError:
    found = describe(bytes(content[:HEAD_BYTES]), len(content))
    if found is not None:
        what, hint = found
        return InvalidModelError(f"is not an ONNX model: it is {what}", hint=hint)
    if error.truncated:
        return InvalidModelError(
            f"is cut off or not an ONNX model: {error}", hint="download or copy the file again"
        )
    return InvalidModelError(f"cannot be read as an ONNX model: {error}")


def _parse(proto: onnx.ModelProto, skeleton: bytes) -> None:
    try:
        proto.ParseFromString(skeleton)
    except DecodeError as error:
        reason = printable(error)
        msg = f"cannot be read as an ONNX model: {reason}"
        if "depth" in reason.lower():
            msg = "has graphs or types nested deeper than any ONNX reader accepts"
        raise InvalidModelError(msg) from None

"""Write a model whose weights are elsewhere, without bringing them into memory."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from onnxprune.errors import InvalidConfigError, InvalidModelError, printable
from onnxprune.io.external import location_parts
from onnxprune.io.fill import fill_model
from onnxprune.io.outfile import check_destination, new_files
from onnxprune.io.wire import pieces_size

if TYPE_CHECKING:
    from hashlib import _Hash

    import onnx

    from onnxprune.io.fill import Arrays
    from onnxprune.io.model import Model
    from onnxprune.io.wire import Piece

__all__ = ["Written", "write_model"]

# No protobuf parser reads a longer message.
_MAX_MESSAGE = (1 << 31) - 1

_STEP = 1 << 24
_RELEASE_EVERY = 1 << 26


class Written(NamedTuple):
    """What was written.

    Attributes:
        path: The model file.
        data_path: Its data file, or None.
        size_bytes: Both together.
        sha256: Digest of the model file followed by its data file, as `Model.sha256` of it would
            say.
    """

    path: Path
    data_path: Path | None
    size_bytes: int
    sha256: str


def write_model(
    proto: onnx.ModelProto,
    path: str | Path,
    *,
    source: Model,
    arrays: Arrays | None = None,
    external: bool | None = None,
) -> Written:
    """Write a model whole or not at all; weights are streamed from where they are.

    Args:
        proto: The model; stubs in it are resolved from source.
        path: Where the model file is to appear. A data file, if there is one, gets the same name
            with ".data" appended.
        source: The model that proto was made from.
        arrays: New values for initializers of the main graph, by name: an array, which also sets
            dims, or a function that returns one when it is written and fits the dims in proto.
        external: Whether large initializers go to a data file. By default each tensor stays where
            source has it, and a model too large for one file is split.

    Returns:
        The files written.

    Raises:
        InvalidConfigError: When the destination cannot be written, or is part of the input.
        InvalidModelError: When the model is too large for one file and may not be split.
    """
    path = Path(path)
    data_path = path.parent / f"{path.name}.data"
    check_destination(path, source.identities)
    filled = fill_model(proto, source, arrays or {}, data_name=data_path.name, external=external)
    if external is None and pieces_size(filled.model) > _MAX_MESSAGE:
        filled = fill_model(proto, source, arrays or {}, data_name=data_path.name, external=True)
    size = pieces_size(filled.model)
    if size > _MAX_MESSAGE:
        msg = f"the model would take {size} bytes in one file, at most {_MAX_MESSAGE} can be read"
        raise InvalidModelError(msg, hint="allow a data file beside the model")
    digest = hashlib.sha256()
    if not filled.data:
        with new_files(path) as [model_file]:
            _stream(filled.model, model_file, digest, source=source)
        return Written(path, None, size, digest.hexdigest())
    check_destination(data_path, source.identities)
    _check_location(data_path.name)
    # The data file gets its name first: a model without its data would look complete.
    with new_files(data_path, path) as [data_file, model_file]:
        _stream(filled.model, model_file, digest, source=source)
        _stream(filled.data, data_file, digest, source=source)
    return Written(path, data_path, size + pieces_size(filled.data), digest.hexdigest())


def _check_location(name: str) -> None:
    try:
        location_parts(name)
    except InvalidModelError as error:
        msg = f"a data file would be named '{printable(name)}', but the model {error.message}"
        raise InvalidConfigError(msg, hint="choose a plainer name for the output") from None


def _stream(pieces: list[Piece], file: BinaryIO, digest: _Hash, *, source: Model) -> None:
    unreleased = 0
    for piece in pieces:
        runs = [memoryview(piece)] if isinstance(piece, bytes | memoryview) else piece.chunks()
        for run in runs:
            for start in range(0, len(run), _STEP):
                chunk = run[start : start + _STEP]
                file.write(chunk)
                digest.update(chunk)
                unreleased += len(chunk)
                if unreleased >= _RELEASE_EVERY:
                    source.release()
                    unreleased = 0

"""A loaded model: its graph in memory, its weights where they were."""

from __future__ import annotations

import hashlib
import mmap
import threading
from typing import TYPE_CHECKING

import onnx

from onnxprune.errors import InvalidModelError
from onnxprune.io.external import check_range, external_of, location_parts
from onnxprune.io.files import FileIdentity, map_beneath
from onnxprune.io.skeleton import is_external, stub_of
from onnxprune.io.tensors import Array, array_from_bytes, checked_size, inline_array

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Model"]

_DIGEST_STEP = 1 << 24


class Model:
    """An ONNX model whose weights stay on disk until they are asked for.

    Payloads of 1 KiB and more are stubs in `proto`: tensors with external data at the empty
    location. The files stay mapped as long as the model or an array of it lives.

    Attributes:
        path: The file the model was read from.
        proto: The model; to be copied, not edited.
    """

    def __init__(self, path: Path, content: memoryview, identity: FileIdentity) -> None:
        self.path = path
        self.proto = onnx.ModelProto()
        self._content = content
        self._files: dict[tuple[str, ...], memoryview] = {}
        self._identity = identity
        self._identities = {identity}
        self._sha256: str | None = None
        self._digesting: threading.Thread | None = None

    @property
    def external(self) -> bool:
        """Whether the model keeps data outside of its file."""
        return bool(self._files)

    @property
    def size_bytes(self) -> int:
        """Size of the model file and its data files together."""
        return len(self._content) + sum(map(len, self._files.values()))

    @property
    def data_files(self) -> list[str]:
        """Where its data files lie, below the directory of the model."""
        return sorted("/".join(parts) for parts in self._files)

    @property
    def identities(self) -> frozenset[FileIdentity]:
        """The files the model consists of."""
        return frozenset(self._identities)

    def begin_digest(self) -> None:
        """Begin to compute `sha256` in the background, for somebody who will want it soon."""
        if self._sha256 is None and self._digesting is None:
            self._digesting = threading.Thread(target=self._digest, daemon=True)
            self._digesting.start()

    def _digest(self) -> None:
        digest = hashlib.sha256()
        for content in (self._content, *(self._files[key] for key in sorted(self._files))):
            for start in range(0, len(content), _DIGEST_STEP):
                digest.update(content[start : start + _DIGEST_STEP])
                self.release()
        self._sha256 = digest.hexdigest()

    @property
    def sha256(self) -> str:
        """Digest of the model file followed by its data files in the order of their names."""
        if self._digesting is not None:
            self._digesting.join()
        if self._sha256 is None:
            self._digest()
        assert self._sha256 is not None
        return self._sha256

    def array(self, tensor: onnx.TensorProto) -> Array:
        """Return the values of a tensor of this model, read-only.

        Args:
            tensor: A tensor of `proto`, or a copy of one.

        Returns:
            The array; mapped from the file where elements are whole bytes.
        """
        payload = self.payload(tensor)
        array = inline_array(tensor) if payload is None else array_from_bytes(tensor, payload)
        array.flags.writeable = False
        return array

    def payload(self, tensor: onnx.TensorProto) -> memoryview | None:
        """Return the raw bytes of a tensor that lie in a file, or None when they are in `proto`.

        Raises:
            InvalidModelError: When the tensor's external data is missing, elsewhere or too short.
        """
        if not is_external(tensor):
            return None
        stub = stub_of(tensor)
        if stub is not None:
            return self._content[stub.offset : stub.offset + stub.length]
        external = external_of(tensor)
        parts = location_parts(external.location)
        content = self._files.get(parts)
        if content is None:
            content = self._add_file(parts)
        size = checked_size(tensor)
        check_range(external, size, content)
        return content[external.offset : external.offset + size]

    def release(self) -> None:
        """Let go of the pages that were read; they are read again when they are needed.

        Pages of a mapped file count as the process's memory for as long as nothing else wants them.
        """
        for content in (self._content, *self._files.values()):
            if isinstance(content.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
                content.obj.madvise(mmap.MADV_DONTNEED)

    def _add_file(self, parts: tuple[str, ...]) -> memoryview:
        try:
            content, identity = map_beneath(self.path.parent, parts)
        except InvalidModelError as error:
            msg = f"has external data that cannot be used: {error.message}"
            raise InvalidModelError(msg, hint=error.hint) from None
        if identity == self._identity:
            msg = "has its external data in the model file itself"
            raise InvalidModelError(msg)
        self._identities.add(identity)
        self._files[parts] = content
        return content

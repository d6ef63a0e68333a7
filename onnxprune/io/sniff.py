"""Say what a file is when it is no ONNX model, so that the error names the mistake."""

from __future__ import annotations

__all__ = ["HEAD_BYTES", "describe", "is_lfs_pointer"]

# Enough for every signature below and for telling text from binary.
HEAD_BYTES = 1024

_LFS_MARK = b"version https://git-lfs"

# (offset, signature, what it is, what to try)
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (
        0,
        _LFS_MARK,
        "a Git LFS pointer, not the file it stands for",
        "fetch the real file with: git lfs pull",
    ),
    (
        0,
        b"PK\x03\x04",
        "a zip archive, as PyTorch checkpoints (.pt, .pth) and Keras models are",
        "unpack it, or export the model to ONNX first",
    ),
    (0, b"PK\x05\x06", "an empty zip archive", "export the model to ONNX first"),
    (0, b"\x89HDF", "an HDF5 file, as older Keras models are", "export the model to ONNX first"),
    (0, b"GGUF", "a GGUF file", "export the model to ONNX first"),
    (4, b"TFL3", "a TensorFlow Lite model", "convert it to ONNX first"),
    (
        4,
        b"ORTM",
        "a model in ONNX Runtime's own format (.ort)",
        "use the .onnx file it was made from",
    ),
    (0, b"\x93NUMPY", "a NumPy array", "give the model, and the array with --calibration"),
    (0, b"\x1f\x8b", "gzip-compressed", "decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "zstd-compressed", "decompress it first"),
    (0, b"BZh", "bzip2-compressed", "decompress it first"),
    (0, b"\xfd7zXZ", "xz-compressed", "decompress it first"),
    (257, b"ustar", "a tar archive", "unpack it first"),
    (0, b"\x7fELF", "an ELF program or library", "give the .onnx file"),
    (0, b"\x89PNG", "a PNG image", "give the .onnx file"),
    (0, b"%PDF", "a PDF document", "give the .onnx file"),
)

_HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def is_lfs_pointer(head: bytes) -> bool:
    """Return whether a file that starts with head is a Git LFS pointer."""
    return head.startswith(_LFS_MARK)


def describe(head: bytes, size: int) -> tuple[str, str] | None:
    """Return what a file looks like and what to try, or None when nothing is recognised.

    Args:
        head: The first HEAD_BYTES bytes of the file, or all of it.
        size: Size of the file in bytes.
    """
    for offset, signature, what, hint in _SIGNATURES:
        if head.startswith(signature, offset):
            return what, hint
    if _is_pickle(head):
        return (
            "a Python pickle, as older PyTorch checkpoints are; it was not opened",
            "export the model to ONNX first",
        )
    if not head.strip(b"\0"):
        return "filled with zero bytes", "download or copy the file again"
    if len(head) > 9 and head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
        return "a safetensors file: weights without a graph", "export the model to ONNX first"
    return _describe_text(head)


def _is_pickle(head: bytes) -> bool:
    # Protocols 2 to 5 start with PROTO; a protobuf field 16 of a model does not exist.
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _describe_text(head: bytes) -> tuple[str, str] | None:
    if head.lstrip().lower().startswith(_HTML_STARTS):
        return (
            "an HTML or XML page, often a download that needs a login",
            "download the model again and look at the address",
        )
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if not all(character.isprintable() or character in "\r\n\t" for character in text):
        return None
    if text.lstrip().startswith(("{", "[")):
        return "JSON text", "give the .onnx file in protobuf form"
    return "text", "give the .onnx file in protobuf form"

"""Magika's file types: how often the label is the one that a file's name tells.

The files come out of packages. Which of them calibrate and which test is decided by the digests of
their content, so that copies fall on one side.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import PurePosixPath

import numpy as np

from tasks.base import Array, Feed, Run, Task, partial
from tasks.packages import read_package

PACKAGES = (
    ("pip", "gensim==4.3.3"),
    ("pip", "scikit-image==0.24.0"),
    ("pip", "matplotlib==3.9.2"),
    ("pip", "notebook==7.2.2"),
    ("pip", "jupyterlab==4.2.5"),
    ("pip", "grpcio-tools==1.66.1"),
    ("pip", "Cython==3.0.11"),
    ("npm", "bootstrap@5.3.3"),
    ("npm", "rxjs@7.8.1"),
    ("npm", "@fortawesome/fontawesome-free@6.6.0"),
    ("pip", "ansible-core==2.17.4"),
    ("pip", "Sphinx==8.0.2"),
    ("apt", "opencv-doc"),
    ("apt", "git"),
)
# Of every suffix whose files can only be one thing, and whose name is not the label already.
LABELS = {
    "bz2": "bzip", "gz": "gzip", "hpp": "cpp", "jpg": "jpeg", "js": "javascript", "md": "markdown",
    "pl": "perl", "pm": "perl", "ps1": "powershell", "py": "python", "sh": "shell", "so": "elf",
    "tif": "tiff", "ts": "typescript", "yml": "yaml",
}  # fmt: skip
SUFFIXES = {
    *LABELS, "c", "cpp", "css", "gif", "html", "jpeg", "json", "npy", "npz", "pdf", "png", "po",
    "proto", "rst", "scss", "svg", "toml", "ttf", "woff", "woff2", "xml", "yaml", "zip",
}  # fmt: skip
PER_LABEL = 40
BLOCK, EDGE, PADDING = 4096, 1024, 256
SMALLEST = 64


class Magika(Task):
    """The model of the package magika, standard series 3.3."""

    name = "magika"
    metric_name = "label accuracy"
    model_file = "magika_v3_3.onnx"

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Draw files that are not in the test."""
        content = self._files["calibration"]
        chosen = np.random.default_rng(seed).permutation(len(content))[:n]
        return [{"bytes": content[i : i + 1].astype(np.int32)} for i in chosen]

    def measure(self, run: Run) -> float:
        """Return the share of test files whose likeliest label is the right one."""
        content = self._files["test"].astype(np.int32)
        parts = [content[i : i + 32] for i in range(0, len(content), 32)]
        seen = np.concatenate([run({"bytes": part})[0].argmax(1) for part in parts])
        return float((seen == self._files["labels"]).mean())

    @cached_property
    def _files(self) -> dict[str, Array]:
        path = self.cache / "file-types.npz"
        if not path.is_file():
            text = (self.data / "magika_v3_3.config.json").read_text(encoding="utf-8")
            names: list[str] = json.loads(text)["target_labels_space"]
            test: list[Array] = []
            calibration: list[Array] = []
            labels: list[int] = []
            for label, files in sorted(self._collect().items()):
                chosen = [_features(files[digest]) for digest in sorted(files)[: 2 * PER_LABEL]]
                test += chosen[0::2]
                labels += [names.index(label)] * len(chosen[0::2])
                calibration += chosen[1::2]
            np.savez(partial(path), test=test, calibration=calibration, labels=labels)
            partial(path).replace(path)
        with np.load(path) as arrays:
            return dict(arrays)

    def _collect(self) -> dict[str, dict[str, bytes]]:
        """Return the different files of every label, by digest."""
        found: dict[str, dict[str, bytes]] = {}
        for source, package in PACKAGES:
            for member, data in read_package(source, package, self.cache):
                suffix = PurePosixPath(member).suffix[1:].lower()
                if suffix in SUFFIXES and len(data) >= SMALLEST:
                    label = LABELS.get(suffix, suffix)
                    found.setdefault(label, {})[hashlib.sha256(data).hexdigest()] = data
        return found


def _features(data: bytes) -> Array:
    """Return the first and the last bytes without outer white space, padded on the inside."""
    first = data[:BLOCK].lstrip()[:EDGE]
    last = data[-BLOCK:].rstrip()[-EDGE:]
    row = np.full(2 * EDGE, PADDING, np.uint16)
    row[: len(first)] = np.frombuffer(first, np.uint8)
    row[2 * EDGE - len(last) :] = np.frombuffer(last, np.uint8)
    return row

"""A target on another machine: files are copied there once, and named by what they hold.

They stay in a cache directory there, which may be deleted at any time: `packages/DIGEST.zip` is
this package, and `models/DIGEST/` a model with its data files.
"""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import tempfile
import zipfile
from abc import abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from onnxprune.errors import ProviderUnavailableError, printable
from onnxprune.io import load_model
from onnxprune.io.files import identity_of
from onnxprune.targets.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnxprune.io.files import FileIdentity

__all__ = ["Remote", "package_bytes"]

_LEAST_PYTHON: Final = (3, 11)
_LOOK_S: Final = 60.0
_COPY_S: Final = 1800.0
_DATE: Final = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Remote(Target):
    """A target that files have to be copied to."""

    root: ClassVar[str]
    """The cache directory there."""

    @abstractmethod
    def send(self, source: Path, place: str, name: str, digest: str) -> None:
        """Copy a file.

        Args:
            source: The file here.
            place: The cache directory there.
            name: The file's path below that.
            digest: Its SHA-256.

        Raises:
            ProviderUnavailableError: It does not arrive.
        """

    def package(self) -> str:
        """Return the path of this package there, an archive; it is copied if need be."""
        return _sent_package(self)

    def located(self, model: Path) -> str:
        """Return the path of a model there; it is copied with its data files if need be."""
        path = model.absolute()
        return _sent_model(self, path, identity_of(path.stat()))

    def helper(self, *words: str, stdin: Path | None = None) -> dict[str, Any]:
        """Run `there` with some words, and return what it answers.

        Args:
            words: Its command line.
            stdin: The file that it reads.
        """
        source = Path(__file__).with_name("there.py").read_text(encoding="utf-8")
        command = self.command([self.python, "-I", "-c", source, *words])
        done = self.run(command, stdin=stdin, timeout_s=_COPY_S if stdin else _LOOK_S)
        # Shells may greet before it.
        last = (done.stdout.splitlines() or [b""])[-1]
        try:
            answer: object = json.loads(last) if done.returncode == 0 else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self.failure(done.returncode, done.stderr.decode("utf-8", "replace"))
        return answer

    def run(
        self, command: Sequence[str], *, stdin: Path | None = None, timeout_s: float = _COPY_S
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command here.

        Raises:
            ProviderUnavailableError: It does not start, or does not end.
        """
        try:
            if stdin is None:
                return subprocess.run(  # noqa: S603  # one of ssh and adb
                    command, check=False, capture_output=True, stdin=subprocess.DEVNULL,
                    timeout=timeout_s,
                )  # fmt: skip
            with stdin.open("rb") as stream:
                return subprocess.run(  # noqa: S603
                    command, check=False, capture_output=True, stdin=stream, timeout=timeout_s
                )
        except subprocess.TimeoutExpired:
            message = f"{printable(self.text)}: no answer within {timeout_s:g} s"
            raise ProviderUnavailableError(message) from None
        except OSError as error:
            message = f"'{command[0]}' does not start: {error.strerror}"
            hint = f"{command[0]} has to be installed here, and on the PATH"
            raise ProviderUnavailableError(message, hint=hint) from error

    def bring(self, files: Mapping[str, tuple[Path, str]]) -> str:
        """Copy the files that are not there yet, and return the cache directory.

        Args:
            files: File here and its digest, by path below the cache directory.
        """
        seen = self.helper("look", self.root, *files)
        version = tuple(seen["python"])
        if version < _LEAST_PYTHON:
            message = f"{self} is Python {'.'.join(map(str, version))}, wanted is 3.11 or newer"
            raise ProviderUnavailableError(message, hint="name another with --python")
        for name, (source, digest) in files.items():
            if name not in seen["present"]:
                self.send(source, seen["root"], name, digest)
        return str(seen["root"])


@cache
def _sent_package(target: Remote) -> str:
    with tempfile.TemporaryDirectory(prefix="onnxprune-") as folder:
        archive = Path(folder) / "package.zip"
        archive.write_bytes(package_bytes())
        digest = _digest(archive)
        name = f"packages/{digest}.zip"
        return f"{target.bring({name: (archive, digest)})}/{name}"


@cache
def _sent_model(target: Remote, path: Path, _identity: FileIdentity) -> str:
    model = load_model(path)
    # Data files keep their names, by which the model finds them; all others are ours.
    own = "model.onnx"
    while own in model.data_files:
        own = f"_{own}"
    sources = {own: path, **{name: path.parent / name for name in model.data_files}}
    digests = {name: _digest(source) for name, source in sources.items()}
    folder = "models/" + hashlib.sha256(json.dumps(digests).encode()).hexdigest()
    root = target.bring({f"{folder}/{n}": (s, digests[n]) for n, s in sources.items()})
    return f"{root}/{folder}/{own}"


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@cache
def package_bytes() -> bytes:
    """Return the modules of this package as an archive to import from; always the same bytes."""
    top = Path(__file__).absolute().parents[1]
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for source in sorted(top.rglob("*.py")):
            entry = zipfile.ZipInfo(f"{top.name}/{source.relative_to(top).as_posix()}", _DATE)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, source.read_bytes())
    return data.getvalue()

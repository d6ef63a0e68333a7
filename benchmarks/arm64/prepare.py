"""Prepare an ARM64 Python with ONNX Runtime that runs on x86-64 Linux under user-mode emulation.

    python benchmarks/arm64/prepare.py DIRECTORY

Nothing is installed and no rights are needed: Debian's qemu-user (10 from backports: under the 7.2
of bookworm `import onnxruntime` crashes), Debian's ARM64 Python, and the aarch64 wheels of NumPy,
ml_dtypes and ONNX Runtime are unpacked into DIRECTORY (667 MB). Prints the path of the interpreter.
Needs `dpkg-deb`, and pip in the Python that runs this.
"""

from __future__ import annotations

import argparse
import hashlib
import lzma
import shlex
import subprocess
import sys
import urllib.request
import zipfile
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
PYTHON = "3.11"
EMULATOR = ("bookworm-backports", "amd64", ("qemu-user",))
SYSTEM = (
    "bookworm", "arm64",
    ("libc6", "libgcc-s1", "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0",
     "liblzma5", "libssl3", "libuuid1", f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal",
     f"libpython{PYTHON}-stdlib"),
)  # fmt: skip
WHEELS = ("numpy", "ml_dtypes", "onnxruntime")


def main() -> int:
    """Prepare the directory; what is there already is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--mirror", default=MIRROR, help="a mirror of Debian")
    options = parser.parse_args()
    place: Path = options.directory.absolute()
    place.mkdir(parents=True, exist_ok=True)
    interpreter = place / "python-arm64"
    try:
        unpack_packages(options.mirror, *EMULATOR, place / "emulator")
        unpack_packages(options.mirror, *SYSTEM, place / "system")
        unpack_wheels(place / "wheels", place / "site")
        interpreter.write_text(launcher(place), encoding="utf-8")
        interpreter.chmod(0o755)
        test = "import onnxruntime, platform; print(platform.machine(), onnxruntime.__version__)"
        seen = subprocess.run(
            [interpreter, "-c", test], check=True, capture_output=True, text=True
        ).stdout  # fmt: skip
    except (OSError, LookupError, subprocess.CalledProcessError, ValueError) as error:
        print(f"error: no ARM64 environment: {error}", file=sys.stderr)
        print((getattr(error, "stderr", "") or "")[-2000:], file=sys.stderr)
        return 3
    print(f"ready: {seen.strip()}", file=sys.stderr)
    print(interpreter)
    return 0


def launcher(place: Path) -> str:
    """Return the script that stands for the interpreter."""
    # -L: where absolute paths are looked up first, the loader of shared libraries to begin with.
    system = shlex.quote(str(place / "system"))
    return (
        "#!/bin/sh\n"
        f"export PYTHONPATH={shlex.quote(str(place / 'site'))} PYTHONDONTWRITEBYTECODE=1\n"
        f"exec {shlex.quote(str(place / 'emulator/usr/bin/qemu-aarch64'))} -L {system} "
        f'{system}/usr/bin/python{PYTHON} "$@"\n'
    )


def unpack_packages(
    mirror: str, suite: str, architecture: str, names: tuple[str, ...], place: Path
) -> None:
    """Download Debian packages, compare their digests with the index, and unpack them."""
    place.mkdir(exist_ok=True)
    missing = [n for n in names if not (place / f"{n}.unpacked").exists()]
    if not missing:
        return
    listing = fetch(f"{mirror}/dists/{suite}/main/binary-{architecture}/Packages.xz")
    index = parse(lzma.decompress(listing).decode())
    for name in missing:
        if name not in index:
            message = f"{suite} for {architecture} has no package {name}"
            raise LookupError(message)
        data = fetch(f"{mirror}/{index[name]['Filename']}")
        if hashlib.sha256(data).hexdigest() != index[name]["SHA256"]:
            message = f"package {name} is not what the index says"
            raise ValueError(message)
        package = place / f"{name}.deb"
        package.write_bytes(data)
        subprocess.run(
            ["dpkg-deb", "-x", package, place], check=True, capture_output=True, text=True
        )
        package.rename(place / f"{name}.unpacked")


def parse(text: str) -> dict[str, dict[str, str]]:
    """Return the packages of an index by name."""
    found = {}
    for paragraph in text.split("\n\n"):
        lines = [line for line in paragraph.splitlines() if not line.startswith(" ")]
        fields = dict(line.split(": ", 1) for line in lines if ": " in line)
        if "Package" in fields:
            found[fields["Package"]] = fields
    return found


def fetch(address: str) -> bytes:
    """Return what is at an address."""
    print(f"fetching {address}", file=sys.stderr)
    with urllib.request.urlopen(address, timeout=120) as stream:
        data: bytes = stream.read()
    return data


def unpack_wheels(wheels: Path, site: Path) -> None:
    """Download the wheels and unpack them."""
    if not all(any(wheels.glob(f"{name}-*.whl")) for name in WHEELS):
        # Also the newer platform tags that pip does not derive from the first.
        platforms = [f"manylinux_2_{minor}_aarch64" for minor in (28, 27, 17)]
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--only-binary=:all:", f"--python-version={PYTHON}", f"--dest={wheels}",
                   *(f"--platform={p}" for p in platforms), *WHEELS]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, text=True)
    for wheel in wheels.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)


if __name__ == "__main__":
    sys.exit(main())

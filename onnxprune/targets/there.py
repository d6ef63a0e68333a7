"""Look for files and take files into a directory. Sent as text to an interpreter on a target.

This runs before the package is there, in whatever Python is there: the standard library alone, and
nothing newer than Python 3.6.

    look ROOT NAME...            which of the files below ROOT are there
    take ROOT NAME DIGEST FILE   move a file to its place, or stdin ("-"), if its SHA-256 is right

Writes one line of JSON.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

_STEP = 1 << 20


def look(root: Path, names: "tuple[str, ...]") -> "dict[str, object]":
    """Tell where the directory is, and what is in it."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = [name for name in names if (root / name).exists()]
    return {"root": str(root), "python": list(sys.version_info[:2]), "present": present}


def take(root: Path, name: str, digest: str, source: str) -> "dict[str, object]":
    """Put a file in its place, whole or not at all."""
    place = root / name
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    partial = place.parent / f"{place.name}.{os.getpid()}" if source == "-" else Path(source)
    found = hashlib.sha256()
    try:
        if source == "-":
            with partial.open("wb") as target:
                target.writelines(iter(lambda: sys.stdin.buffer.read(_STEP), b""))
        with partial.open("rb") as written:
            for chunk in iter(lambda: written.read(_STEP), b""):
                found.update(chunk)
        if found.hexdigest() != digest:
            sys.exit("the file did not arrive as it was sent")
        partial.replace(place)
    finally:
        if partial.exists():
            partial.unlink()
    return {"taken": name}


def main(action: str, root: str, *rest: str) -> None:
    """Do what the command line says."""
    folder = Path(root).expanduser().absolute()
    answer = look(folder, rest) if action == "look" else take(folder, *rest)
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

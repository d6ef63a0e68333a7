"""Coverage-guided fuzzing of the loader: `python loader.py MODEL ... [--seconds 300]`.

A mutated file that makes the loader run a line after another for the first time joins the corpus,
so that later mutations start from there.
What is loaded is written again and has to load to the same.
Anything but a model or `InvalidModelError` is a finding. Totals go to stdout as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxprune import io
from onnxprune.errors import InvalidModelError
from onnxprune.io import load_model, write_model
from onnxprune.testing.mutations import mutate

if TYPE_CHECKING:
    from types import FrameType

_WATCHED = str(Path(io.__file__).parent)
_LARGEST = 1 << 16
_SLOW_S = 30.0


class Coverage:
    """Which line came after which, in the loader; a context manager."""

    def __init__(self) -> None:
        self.seen: set[tuple[Any, int, int]] = set()
        self.new = 0

    def __enter__(self) -> None:
        self.new = 0
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> object:
        code = frame.f_code
        if not code.co_filename.startswith(_WATCHED):
            return None
        last = 0

        def line(inner: FrameType, event: str, _argument: object) -> object:
            nonlocal last
            if event == "line":
                step = (code, last, inner.f_lineno)
                last = inner.f_lineno
                if step not in self.seen:
                    self.seen.add(step)
                    self.new += 1
            return line

        return line


def check(path: Path) -> bool:
    """Load a file, and write and load it again; returns whether it was a model."""
    try:
        model = load_model(path)
    except InvalidModelError as error:
        message = str(error)
        assert message.isprintable(), "a message that is not printable"
        return False
    again = path.with_name("again.onnx")
    write_model(model.proto, again, source=model)
    operators = ([n.op_type for n in m.proto.graph.node] for m in (model, load_model(again)))
    assert next(operators) == next(operators), "another model is written"
    return True


def main() -> int:
    """Fuzz until the time is up; returns 1 when there was a finding."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="files, or folders of them")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_intermixed_args()
    files = [m for p in options.models for m in ([p] if p.is_file() else sorted(p.rglob("*.onnx")))]
    corpus = [p.read_bytes() for p in files if 0 < p.stat().st_size < _LARGEST]
    rng = random.Random(options.seed)
    coverage = Coverage()
    findings: dict[str, str] = {}
    runs = loaded = 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        (Path(name) / "weights.bin").write_bytes(bytes(4096))
        while time.monotonic() < start + options.seconds:
            # Half of the time from what was found last.
            recent = corpus[-20:] if rng.random() < 0.5 else corpus
            content = corpus[runs] if runs < len(files) - 1 and runs < len(corpus) else mutate(
                rng.choice(recent), rng
            )  # fmt: skip
            path.write_bytes(content)
            began = time.monotonic()
            try:
                with coverage:
                    loaded += check(path)
                assert time.monotonic() - began < _SLOW_S, "takes too long"
            except Exception as error:  # noqa: BLE001 - every failure is a finding
                what = f"{type(error).__name__}: {str(error)[:200]}"
                if what not in findings:
                    findings[what] = content.hex()[:200]
                    print(what, file=sys.stderr, flush=True)
                    if options.keep:
                        (options.keep / f"loader-{len(findings)}.onnx").write_bytes(content)
            if coverage.new and len(content) < _LARGEST:
                corpus.append(content)
            runs += 1
    totals = {
        "seconds": options.seconds, "seed": options.seed, "files": runs, "loaded": loaded,
        "steps covered": len(coverage.seen), "corpus": len(corpus), "findings": list(findings),
    }  # fmt: skip
    print(json.dumps(totals, indent=1))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

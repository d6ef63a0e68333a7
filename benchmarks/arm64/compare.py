"""Do models compute on ARM64 what they compute here?

    python benchmarks/arm64/compare.py INTERPRETER MODEL.onnx ... [-o FILE]

INTERPRETER is what `prepare.py` printed, or any other with NumPy and ONNX Runtime, of a real board
too where it lies on this machine. Every model runs there and here, without and with the runtime's
optimisations, on the same made-up inputs, and the outputs are compared. A model that optimisations
change here is permitted three times as much. Nothing is timed: an emulator has no latency. Exit
status 1 when an output differs by more, 3 when the interpreter does not work.
"""

from __future__ import annotations

import argparse
import json
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
TOLERANCE = 1e-4
NOISE_FACTOR = 3.0
MOST_NOISE = 5e-2
SMALL = 1e-4
"""Outputs below this are compared absolutely: what is all but zero has no digits to agree in."""
BOOTSTRAP = (
    "import sys; sys.path.insert(0, sys.argv[1]); import onnxprune; sys.path[0] = sys.argv[2];"
    "import compare; compare.answer(sys.argv[3])"
)


def outputs(model: str, recipe: Any) -> list[Any]:  # noqa: ANN401  # a FeedRecipe
    """Run a model without and with optimisations."""
    from onnxprune.runtime.session import open_session, run_outputs  # noqa: PLC0415  # there

    feed = recipe.make()
    return [run_outputs(open_session(model, optimize=optimize), feed) for optimize in (False, True)]


def answer(folder: str) -> None:
    """Serve `ask` in the other interpreter."""
    import platform  # noqa: PLC0415  # there

    import onnxruntime  # noqa: PLC0415  # there

    from onnxprune.providers.emulator import emulated_machine  # noqa: PLC0415  # there

    model, recipe = pickle.loads((Path(folder) / "request").read_bytes())  # our own
    found = {
        "machine": platform.machine(), "onnxruntime": onnxruntime.__version__,
        "emulated": bool(emulated_machine()), "outputs": outputs(model, recipe),
    }  # fmt: skip
    (Path(folder) / "answer").write_bytes(pickle.dumps(found))


def ask(interpreter: Path, model: str, recipe: Any) -> dict[str, Any]:  # noqa: ANN401
    """Run a model in another interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "request").write_bytes(pickle.dumps((model, recipe)))
        here = str(Path(__file__).absolute().parent)
        command = [interpreter, "-P", "-c", BOOTSTRAP, str(ROOT), here, folder]
        subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = pickle.loads((Path(folder) / "answer").read_bytes())
    return found


def compare(interpreter: Path, path: Path) -> dict[str, Any]:
    """Return how the outputs of one model differ, relative to their largest value."""
    from onnxprune.bench.run import runnable  # noqa: PLC0415  # here
    from onnxprune.bench.workload import make_recipe  # noqa: PLC0415

    subject = runnable(path, dims={}, batch=None)
    recipe = make_recipe([subject], seed=0)
    there = ask(interpreter, str(path.absolute()), recipe)
    here = outputs(str(path), recipe)
    worst = max(map(difference, here, there.pop("outputs")))
    noise = difference(*here)
    allowed = max(TOLERANCE, subject.rounding, min(NOISE_FACTOR * noise, MOST_NOISE))
    return {
        "model": path.name, **there, "max_rel_difference": worst,
        "max_rel_difference_here": noise, "same": worst <= allowed,
    }  # fmt: skip


def difference(wanted: dict[str, Any], seen: dict[str, Any]) -> float:
    """Return the largest difference of an output."""
    from onnxprune.runtime.difference import measure  # noqa: PLC0415  # here

    worst = 0.0
    for name in wanted | seen:
        found = measure(name, wanted.get(name), seen.get(name))
        alike = found.shapes_equal and found.dtypes_equal
        broken = not alike or found.mismatches or found.nonfinite_mismatches
        worst = max(worst, float("inf") if broken else found.max_abs / max(found.scale, SMALL))
    return worst


def main() -> int:
    """Compare all models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("interpreter", type=Path)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    rows = []
    for path in options.models:
        try:
            rows.append(compare(options.interpreter.absolute(), path))
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"error: {options.interpreter} does not run {path}: {error}", file=sys.stderr)
            print((getattr(error, "stderr", "") or "")[-2000:], file=sys.stderr)
            return 3
        print(json.dumps(rows[-1]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0 if all(row["same"] for row in rows) else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())

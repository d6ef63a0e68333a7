"""Common ground: one thread, repeatable examples, networks beside the checkout, a command line."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

# Tests run in several processes already. Set before anything imports NumPy, and inherited by the
# processes that tests start.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# No deadline: a shared machine stalls now and then. Fixed examples: a failure is there again on
# the next run, and on the next machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

SHARED = Path(__file__).resolve().parents[2] / "shared"
SKELETONS = SHARED / "models" / "skeletons"
SUFFIX = ".sk.gz"


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON on stdout."""
        return json.loads(self.out)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command line and return its status and output."""

    def call(*args: object) -> Outcome:
        from onnxprune.cli.main import run  # noqa: PLC0415  # after threads are bounded

        code = run([str(a) for a in args])
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `skeleton_name` once for every exported network there is."""
    if "skeleton_name" in metafunc.fixturenames:
        names = sorted(p.name.removesuffix(SUFFIX) for p in SKELETONS.glob(f"*{SUFFIX}"))
        absent = pytest.param("", marks=pytest.mark.skip(reason=f"no networks in {SKELETONS}"))
        metafunc.parametrize("skeleton_name", names or [absent])


@pytest.fixture(autouse=True)
def _no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Measured costs that happen to be on a machine change no test, and tests change no costs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with models and files beside the checkout; without it the test is skipped."""
    if not SHARED.is_dir():
        pytest.skip(f"needs {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def _skeleton_tool(shared: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("skeleton", shared / "models" / "skeleton.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def fill_skeleton(_skeleton_tool: ModuleType, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Make the .onnx file of an exported network, such as "resnet18.ts", with seeded weights.

    Some of the files have hundreds of megabytes, so they are removed as soon as the test is over.
    """
    made: list[Path] = []

    def fill(name: str, *, seed: int = 0) -> Path:
        target = tmp_path / f"{name}.onnx"
        made.append(target)
        with warnings.catch_warnings():
            # The tool, which is not ours, leaves the closing of its files to the interpreter.
            warnings.simplefilter("ignore", ResourceWarning)
            _skeleton_tool.fill(str(SKELETONS / f"{name}{SUFFIX}"), str(target), seed)
        return target

    yield fill
    for path in made:
        path.unlink(missing_ok=True)

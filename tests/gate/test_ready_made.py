"""The action, the hook, the template and the image do what they say; the guide can be followed."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from onnxprune.cli import reference
from onnxprune.demo import MODEL

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "ci.md"
EXAMPLE = ROOT / "examples" / "ci"
ACTION = ROOT / ".github" / "actions" / "onnxprune-check"

pytestmark = pytest.mark.skipif(not GUIDE.exists(), reason="needs the checkout")


def load(path: Path) -> Any:
    yaml = YAML(typ="safe")
    yaml.constructor.add_constructor("!reference", lambda c, node: c.construct_sequence(node))
    return yaml.load(path.read_text(encoding="utf-8"))


SCHEMAS = [
    ("github-actions", ACTION / "action.yml"),
    ("github-workflows", EXAMPLE / ".github/workflows/model.yml"),
    ("gitlab-ci", ROOT / ".gitlab/onnxprune.gitlab-ci.yml"),
    ("gitlab-ci", EXAMPLE / ".gitlab-ci.yml"),
]


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=[p.name for _, p in SCHEMAS])
def test_published_schemas(schema: str, path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", f"--builtin-schema=vendor.{schema}"]
    if schema == "gitlab-ci":
        command.append("--data-transform=gitlab-ci")
    done = subprocess.run([*command, path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def commands_in(document: Any) -> list[str]:
    """Return everything in a document that calls the program."""
    if isinstance(document, dict):
        return [c for value in document.values() for c in commands_in(value)]
    if isinstance(document, list):
        return [c for value in document for c in commands_in(value)]
    return [document] if isinstance(document, str) and document.startswith("onnxprune ") else []


@pytest.mark.parametrize(
    "path",
    [*(p for _, p in SCHEMAS[1:]), ROOT / ".pre-commit-hooks.yaml"],
    ids=lambda path: path.name,
)
def test_commands_are_understood(path: Path, cli: Callable) -> None:
    found = commands_in(load(path))
    assert found
    for command in found:
        words = shlex.split(command)[1:]
        assert cli(words[0], "--help").code == 0
        for option in (w for w in words if w.startswith("--") and w != "--"):
            assert option in cli(words[0], "--help").out


@pytest.fixture
def program(tmp_path: Path) -> dict[str, str]:
    """An environment in which `onnxprune` and `python` are those of this interpreter."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, more in (("onnxprune", "-m onnxprune "), ("python", "")):
        script = folder / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {more}"$@"\n')
        script.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"}


@pytest.mark.parametrize(("limit", "status"), [("0.9", 0), ("0.1", 1)])
def test_the_script_of_the_action(
    limit: str, status: int, pair: Path, program: dict[str, str], tmp_path: Path
) -> None:
    (pair / "onnxprune.toml").write_text("[check]\nmax-macs-ratio = 0.95\n")
    summary, output = tmp_path / "summary.md", tmp_path / "output"
    hostile = "$(touch hacked); `touch hacked`"
    done = subprocess.run(
        ["bash", ACTION / "check.sh"],
        env={
            **program, "PRUNED": "small.onnx", "BASELINE": "model.onnx", "CONFIG": "",
            "ARGUMENTS": f"--static\n--max-macs-ratio={limit}\n--metric=a:b\n--batch=1\n",
            "REPORTS": f"reports {hostile}", "GITHUB_STEP_SUMMARY": str(summary),
            "GITHUB_OUTPUT": str(output),
        },
        capture_output=True, text=True, check=False, cwd=pair,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert summary.read_text().startswith("### onnxprune check: ")
    lines = output.read_text().splitlines()
    assert lines[0] == f"passed={str(status == 0).lower()}"
    assert (pair / lines[1].removeprefix("report=")).is_file()
    assert ("::error " in done.stdout) == (status == 1)
    assert not list(pair.rglob("hacked"))
    assert {p.suffix for p in (pair / f"reports {hostile}").iterdir()} == {
        ".md", ".json", ".xml", ".sarif",
    }  # fmt: skip


def test_the_action_passes_inputs_as_variables() -> None:
    action = load(ACTION / "action.yml")
    for step in action["runs"]["steps"]:
        assert "${{" not in step["run"]
    used = re.findall(r"inputs\.(\w+)", (ACTION / "action.yml").read_text())
    assert set(used) == set(action["inputs"])


def test_the_hook_runs_without_onnx_runtime(pair: Path, program: dict[str, str]) -> None:
    [hook] = load(ROOT / ".pre-commit-hooks.yaml")
    assert hook["language"] == "python"
    assert hook["pass_filenames"] is False
    used = load(EXAMPLE / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    assert [h["id"] for h in used] == [hook["id"]]
    (pair / "onnxprune.toml").write_text(
        "[check]\nbaseline = 'model.onnx'\nplan = 'plan.json'\nprovenance = true\n"
        "max-macs-ratio = 0.95\nmax-bytes-ratio = 0.95\nverified = true\nallow-ops = ['*']\n"
    )
    (pair / "blocked").mkdir()
    (pair / "blocked" / "onnxruntime.py").write_text("raise ImportError('not here')\n")
    paths = os.pathsep.join([str(pair / "blocked"), *sys.path])
    words = [*shlex.split(hook["entry"]), *used[0]["args"]]
    done = subprocess.run(
        words, env={**program, "PYTHONPATH": paths}, capture_output=True, text=True, check=False,
        cwd=pair,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verified" in done.stderr  # said to be left out


def test_the_image_finds_what_it_copies() -> None:
    text = (ROOT / ".docker" / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    verbs = [line.split()[0] for line in lines]
    assert verbs == ["FROM", "COPY", "COPY", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"]
    kept = (ROOT / ".docker" / "Dockerfile.dockerignore").read_text().splitlines()
    for line in (line for line in lines if line.startswith("COPY")):
        for source in line.split()[1:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in kept
    build = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert 'readme = "README.md"' in build
    assert 'license-files = ["LICENSE"]' in build


def test_the_keys_are_fresh() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    hint = "run python -m onnxprune.cli.reference docs/ci.md"
    assert reference.updated(text) == text, hint


def blocks(language: str) -> list[str]:
    text = GUIDE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def test_the_pipelines_are_those_of_the_example() -> None:
    files = (".github/workflows/model.yml", ".gitlab-ci.yml", ".pre-commit-config.yaml")
    wanted = [(EXAMPLE / name).read_text(encoding="utf-8") for name in files]
    assert blocks("yaml") == wanted


def matches(expected: list[str], seen: list[str]) -> bool:
    """Tell whether lines are as shown; one of three dots stands for any number of lines."""
    if not expected:
        return not seen
    if expected[0] == "...":
        return any(matches(expected[1:], seen[n:]) for n in range(len(seen) + 1))
    pattern = re.escape(expected[0]).replace(r"\.\.\.", ".*")
    return bool(seen) and bool(re.fullmatch(pattern, seen[0])) and matches(
        expected[1:], seen[1:]
    )  # fmt: skip


@pytest.mark.slow
def test_the_guide_word_for_word(tmp_path: Path, program: dict[str, str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    mark = "=== next command ==="
    commands, expected = [], []
    for block in blocks("console"):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(line[2:])
                expected.append([])
            else:
                expected[-1].append(line)
    # Each in the same shell as the one before, so that `echo $?` means what it says.
    script = "".join(f"echo '{mark}'\n" + "(exit $keep)\n" + f"{c}\nkeep=$?\n" for c in commands)
    done = subprocess.run(
        ["bash", "-c", f"keep=0\n{script}"], cwd=folder, env=program, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    outputs = done.stdout.split(f"{mark}\n")[1:]
    assert len(outputs) == len(commands)
    for command, wanted, output in zip(commands, expected, outputs, strict=True):
        lines = [[" ".join(w.split()) for w in words] for words in (wanted, output.splitlines())]
        assert matches(*lines), f"$ {command}\n{output}"
    assert outputs[-1] == "1\n"
    assert shutil.which("onnxprune", path=program["PATH"])
    assert (folder / "model.onnx").read_bytes() != MODEL.read_bytes()

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from onnxprune.bench.document import BenchReport
from onnxprune.bench.protocol import Protocol
from onnxprune.bench.run import benchmark
from onnxprune.cli import main
from onnxprune.demo import MODEL
from onnxprune.errors import InvalidConfigError, ProviderUnavailableError
from onnxprune.providers.interpreter import call_in
from onnxprune.providers.listing import list_providers
from onnxprune.runtime.isolate import IsolatedTimeoutError
from onnxprune.targets import parse_target

LIMITS = {"timeout_s": 60, "memory_limit_bytes": None}
SWIFT = Protocol(
    rebuilds=3, most_rebuilds=3, pairs=2, block_ms=0.01, warm_up_ms=0.01, time_budget_s=60.0
)


@pytest.fixture
def board(ssh):
    """Return the server as a target with this interpreter, and its home."""
    address, home = ssh
    return replace(parse_target(address), python=sys.executable), home


def test_call_gives_the_result_and_raises_the_error(board):
    target, home = board
    found = call_in(target, "onnxprune.providers.registry:find_provider", {"name": "trt"}, **LIMITS)
    assert found.name == "tensorrt"
    with pytest.raises(InvalidConfigError, match="no execution provider 'tpu'") as caught:
        call_in(target, "onnxprune.providers.registry:find_provider", {"name": "tpu"}, **LIMITS)
    assert "choose among" in (caught.value.hint or "")
    [package] = (home / ".cache/onnxprune/targets/packages").iterdir()
    assert package.suffix == ".zip"


def test_values_that_could_do_anything_are_refused(board):
    with pytest.raises(ProviderUnavailableError, match="not accepted: 'pathlib"):
        call_in(board[0], "pathlib:Path", {}, **LIMITS)


def test_a_call_that_takes_too_long_ends_there_as_well(board):
    target, home = board
    call_in(target, "time:time", {}, **LIMITS)
    marker = str(home / "marker")
    with pytest.raises(IsolatedTimeoutError):
        call_in(
            target, "subprocess:run",
            {"args": ["sh", "-c", 'echo $PPID > "$0"; exec sleep 60', marker]},
            timeout_s=5, memory_limit_bytes=None,
        )  # fmt: skip
    process = int(Path(marker).read_text())
    for _ in range(200):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("the process is still there")


def test_benchmark_measures_there(board):
    target, home = board
    seen = []
    report = benchmark(
        [MODEL], target=target, protocol=SWIFT, progress=lambda *step: seen.append(step[0])
    )
    assert report.environment.target == target.text
    assert report.runs[0].p50_ms > 0
    assert report.environment.machine.python == sys.version.split()[0]
    [model] = (home / ".cache/onnxprune/targets/models").iterdir()
    assert (model / "model.onnx").read_bytes() == MODEL.read_bytes()
    assert BenchReport.model_validate_json(report.to_json()) == report


def test_data_files_go_along_and_nothing_of_their_names_is_run(board, tmp_path):
    target, home = board
    name = "a $(touch hacked)' `touch hacked`;touch hacked.bin"
    weight = numpy_helper.from_array(np.ones((4, 300), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [helper.make_tensor_value_info("x", 1, [1, 4])],
        [helper.make_tensor_value_info("y", 1, [1, 300])], [weight],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "-o ProxyCommand=touch hacked; $(touch hacked).onnx"
    onnx.save(model, path, save_as_external_data=True, location=name, size_threshold=0)
    report = benchmark([path], target=target, protocol=SWIFT)
    assert report.runs[0].p50_ms > 0, report.failures
    sent = [p for p in (home / ".cache/onnxprune/targets/models").rglob("*") if p.is_file()]
    assert name in {p.name for p in sent}
    assert not [*home.rglob("hacked*"), *tmp_path.rglob("hacked*"), *Path.cwd().glob("hacked*")]


def test_providers_of_the_target(board):
    report = list_providers(target=board[0])
    assert report.onnxruntime
    [cpu] = [entry for entry in report.providers if entry.name == "cpu"]
    assert cpu.presence == "built-in"
    assert board[0].text in cpu.python


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("/nowhere/python; echo", "'/nowhere/python; echo' of ssh://.* is not there"),
        ("false", "left with status 1"),
        ("echo", "left with status 0 and without an answer"),
    ],
)
def test_no_python_there(board, python, said):
    with pytest.raises(ProviderUnavailableError, match=said) as caught:
        call_in(replace(board[0], python=python), "time:time", {}, **LIMITS)
    assert caught.value.hint


def test_no_runtime_there(board, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    target = replace(board[0], python=str(bare / "bin/python"))
    with pytest.raises(ProviderUnavailableError, match="lacks a package: No module named 'numpy'"):
        call_in(target, "onnxprune.providers.check:survey", {"facts": []}, **LIMITS)


def test_machine_that_is_not_reached(ssh, capsys):
    address = ssh[0].rpartition(":")[0] + ":1"
    status = main.run(["bench", str(MODEL), "--target", address])
    err = capsys.readouterr().err
    assert status == 3
    assert f"{address} cannot be reached; ssh says:" in err
    assert "-p 1" in err


def test_command(ssh, capsys):
    command = ["providers", "--target", ssh[0], "--python", sys.executable, "--json", "-"]
    assert main.run(command) == 0
    assert json.loads(capsys.readouterr().out)["onnxruntime"]


def test_no_client(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ProviderUnavailableError, match="'ssh' does not start"):
        call_in(parse_target("ssh://board"), "time:time", {}, **LIMITS)

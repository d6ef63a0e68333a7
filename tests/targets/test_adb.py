from __future__ import annotations

import ast
import sys
from dataclasses import replace

import pytest

from onnxprune.demo import MODEL
from onnxprune.errors import ProviderUnavailableError
from onnxprune.providers.interpreter import call_in
from onnxprune.targets import parse_target

LIMITS = {"timeout_s": 60, "memory_limit_bytes": None}


def test_commands_push_once_and_call(adb):
    device, log = adb
    target = replace(parse_target("adb://emu:5554"), python=sys.executable)
    for _ in range(2):
        found = call_in(
            target, "onnxprune.providers.registry:find_provider", {"name": "cpu"}, **LIMITS
        )
        assert found.name == "cpu"
    place = target.located(MODEL)
    assert place == target.located(MODEL)
    assert place.startswith(str(device / "onnxprune/models"))
    commands = [ast.literal_eval(line) for line in log.read_text().splitlines()]
    assert all(words[:2] == ["-s", "emu:5554"] for words in commands)
    pushed = [words for words in commands if words[2] == "push"]
    assert len(pushed) == 2, "the package, and the model"
    assert not list(device.rglob("incoming-*"))
    shells = [words for words in commands if words[2] == "shell"]
    assert all(words[3] == "-T" and len(words) == 5 for words in shells)
    assert all(w[4].startswith("TMPDIR=/data/local/tmp/onnxprune exec ") for w in shells)


def test_file_that_arrives_broken_is_refused(adb, program):
    device, _ = adb
    text = (device.parent / "bin/adb").read_text()
    program("adb", text.replace("write_bytes(", "write_bytes(b'x' + "))
    with pytest.raises(ProviderUnavailableError, match="did not arrive as it was sent"):
        replace(parse_target("adb"), python=sys.executable).located(MODEL)
    assert not [p for p in device.rglob("*") if p.is_file()]


@pytest.mark.usefixtures("adb")
def test_device_that_is_not_there():
    with pytest.raises(ProviderUnavailableError, match=r"adb://gone cannot be reached.*not found"):
        parse_target("adb://gone").package()
    with pytest.raises(ProviderUnavailableError, match="'nothing' of adb is not there"):
        replace(parse_target("adb"), python="nothing").package()

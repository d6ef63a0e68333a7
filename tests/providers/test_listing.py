from __future__ import annotations

import json
import sys
from pathlib import Path

from onnxprune.cli.main import run
from onnxprune.providers import PROVIDERS
from onnxprune.providers.document import ProvidersReport
from onnxprune.providers.listing import list_providers


def test_all_are_listed_with_a_way_to_get_them():
    report = list_providers({"qnn": Path("/nowhere/python"), "openvino": Path(sys.executable)})
    entries = {entry.name: entry for entry in report.providers}
    assert list(entries) == list(PROVIDERS)
    assert entries["cpu"].presence == "built-in"
    assert entries["nnapi"].presence == "missing"
    assert "does not start" in entries["qnn"].detail
    assert entries["openvino"].python == sys.executable
    assert all(entry.install for entry in report.providers)


def test_command_prints_json_and_nothing_else(capsys):
    assert run(["providers", "--json", "-"]) == 0
    out = capsys.readouterr().out
    report = ProvidersReport.model_validate(json.loads(out))
    assert report.format == "onnxprune.providers/1"


def test_command_prints_a_table(capsys):
    assert run(["providers"]) == 0
    out = capsys.readouterr().out
    assert "pip install onnxruntime-openvino" in out
    assert "built-in" in out

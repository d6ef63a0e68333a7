"""Providers that write files do so where they are removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from onnxprune.providers import PROVIDERS
from onnxprune.providers.calling import call_on
from onnxprune.providers.scratch import in_scratch_directory


def litter(spec, model, models=(), progress=None):
    """Write a file as a provider does; runs in a child process."""
    Path("saver_output").write_text("compiled")
    if progress is not None:
        progress(1, 1)
    return str(Path.cwd()), model, list(models), dict(spec.given)


@pytest.mark.parametrize("writes", [True, False])
def test_files_stay_out_of_the_working_directory(tmp_path, monkeypatch, make_spec, writes):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    Path("lib").mkdir()
    Path("lib/backend.so").write_text("")
    spec = replace(make_spec(writes_files=writes), given={"path": "lib/backend.so", "arch": "75"})
    told = []
    where, model, models, given = call_on(
        spec, "test_scratch:litter", {"model": "a.onnx", "models": ["b.onnx", Path("c.onnx")]},
        timeout_s=60, memory_limit_bytes=None, progress=lambda *n: told.append(n),
    )  # fmt: skip
    assert told == [(1, 1)]
    assert (tmp_path / "saver_output").exists() is not writes
    assert (where == str(tmp_path)) is not writes
    assert given["arch"] == "75"
    if writes:
        assert not Path(where).exists()
        assert (model, models[0]) == (str(tmp_path / "a.onnx"), str(tmp_path / "b.onnx"))
        assert given["path"] == str(tmp_path / "lib/backend.so")
    else:
        assert (model, given["path"]) == ("a.onnx", "lib/backend.so")


def test_the_working_directory_is_restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError):
        in_scratch_directory("math:acosh", {})
    assert Path.cwd() == tmp_path


def test_which_providers_write():
    assert [name for name, facts in PROVIDERS.items() if facts.writes_files] == ["qnn"]

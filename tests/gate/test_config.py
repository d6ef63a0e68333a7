"""Configuration files: found, read, and refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import jsonschema
import pytest

from onnxprune.config import Config, find_config, read_config
from onnxprune.errors import InvalidConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REFUSED = [
    ("[check]\nmax-macs-ration = 0.5", "there is no key 'max-macs-ration'", "'max-macs-ratio'?"),
    ("[chekc]\nmax-macs-ratio = 0.5", "there is no key 'chekc'", "did you mean 'check'?"),
    ("[check]\nzzz = 1", "[check]: there is no key 'zzz'", "keys: verified, "),
    ("[check]\nmax-macs-ratio = 0", "'check.max-macs-ratio' is 0", "onnxprune schema config"),
    ("[check]\nmax-macs-ratio = nan", "finite", ""),
    ("[check]\nmax-macs-ratio = inf", "finite", ""),
    ("[check]\nmax-macs-ratio = 'half'", "'check.max-macs-ratio' is 'half'", ""),
    ("[check]\nmax-macs-ratio = 0.5\nmax_macs_ratio = 0.6", "given twice", ""),
    ("[check]\nmax-latency-ratio = {cpu = 'x'}", "'check.max-latency-ratio.cpu' is 'x'", ""),
    ("[check]\nmax-latency-ratio = {cpu = -1}", "'check.max-latency-ratio.cpu' is -1", ""),
    ("[check]\nmax-latency-ratio = {}", "'check.max-latency-ratio' is {}", ""),
    ("[check]\nverified = 'maybe'", "'exact' or 'approximate'", ""),
    ("[check]\nallow-ops = []", "'check.allow-ops' is []", ""),
    ("[check]\nmin-agreement = 1.5", "'check.min-agreement' is 1.5", ""),
    ("[check]\nplan-sha256 = 'abc'", "'check.plan-sha256' is 'abc'", ""),
    ("[check]\ndims = {N = 0}", "'check.dims.N' is 0", ""),
    ("[check]\nmetric = 'os.system'", "'check.metric' is 'os.system'", ""),
    ("[check]\non-inconclusive = 'ignore'", "'pass' or 'fail'", ""),
    ("check = 3", "'check' is 3", ""),
    ("[check", "is no TOML", ""),
    ("\xff", "is no TOML", ""),
    ("tool = {onnxprune = 1}", "is no table", ""),
    ("[tool.onnxprune.check]\n[check]", "both inside and outside", "not both"),
]


@pytest.mark.parametrize(("text", "fragment", "hint"), REFUSED, ids=[r[0] for r in REFUSED])
def test_refused(text: str, fragment: str, hint: str, tmp_path: Path) -> None:
    path = tmp_path / "onnxprune.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidConfigError) as error:
        read_config(path)
    assert fragment in error.value.message
    assert hint in (error.value.hint or "")


@pytest.mark.parametrize("name", ["absent.toml", "."])
def test_no_file(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match=r"does not exist|is no file"):
        read_config(tmp_path / name)


def test_both_places_and_both_spellings(tmp_path: Path) -> None:
    found = []
    for name, table in (
        ("onnxprune.toml", "check"),
        ("onnxprune.toml", "tool.onnxprune.check"),
        ("limits.toml", "check"),
        ("pyproject.toml", "tool.onnxprune.check"),
    ):
        for key in ("max-macs-ratio", "max_macs_ratio"):
            path = tmp_path / name
            path.write_text(f"[{table}]\n{key} = 0.5\nbaseline = 'a/b.onnx'\nverified = true\n")
            section = read_config(path).config.check
            assert section is not None
            assert section.verified == "exact"
            assert section.baseline == tmp_path / "a/b.onnx"  # relative to the file
            found.append(section)
    assert len({str(section) for section in found}) == 1


def test_what_is_found(tmp_path: Path) -> None:
    assert find_config(tmp_path) is None
    project = tmp_path / "pyproject.toml"
    project.write_text("[project]\nname = 'x'\n")
    assert find_config(tmp_path) is None
    project.write_text("[tool.onnxprune.check]\nmax-macs = 5\n")
    found = find_config(tmp_path)
    assert found is not None
    assert found.path == project
    (tmp_path / "onnxprune.toml").write_text("[check]\nmax-macs = 6\n")
    first = find_config(tmp_path)
    assert first is not None
    assert first.path.name == "onnxprune.toml"
    assert first.folder == tmp_path


def test_schema_is_published_and_true(cli: Callable) -> None:
    schema = cli("schema", "config").json
    assert schema == Config.model_json_schema()
    jsonschema.validate({"check": {"max-macs-ratio": 0.5, "max-latency-ratio": {"cpu": 1}}}, schema)
    for wrong in ({"check": {"max-macs-ration": 0.5}}, {"check": {"max-macs-ratio": -1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
    assert cli("schema", "check").json["properties"]["format"]["const"] == "onnxprune.check/1"

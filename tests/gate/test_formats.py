"""Every format is valid by its schema, and no name in it does anything."""

from __future__ import annotations

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import jsonschema
import onnx
import pytest

from onnxprune.cli.check import _FORMATS
from onnxprune.gate.document import CheckReport
from onnxprune.gate.formats import FORMATS

from .conftest import entry, report

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEMAS = Path(__file__).parent / "schemas"

PLAIN = report(
    entry(),
    entry("max-latency-ratio[cpu]", value=1.2, ci95=(1.1, 1.3), outcome="fail", hint="measure"),
    entry("min-provider-share[cuda]", value=None, outcome="inconclusive", better="larger"),
    entry("allow-ops", limit=["Conv"], value=[], better=None, unit=""),
    entry("verified", limit="exact", value="exact", better=None, unit=""),
)
UNDECIDED = report(
    entry("max-latency-ratio[cpu]", ci95=(0.5, 0.8), outcome="inconclusive"),
    passed=True, status=0, on_inconclusive="pass",
)  # fmt: skip

HOSTILE = [
    "\x1b[2J\x1b[31mOK\n::error::x",
    "<img src=x onerror=alert(1)>",
    "</code></td><script>alert(1)</script>",
    "]]></failure></testcase><testcase name='y'/>",
    "a | b | c\n| d |",
    "`code` **bold** [link](https://evil.example) ![x](y) @somebody #1 www.evil.example",
    "::set-output name=x::y",
    "##[add-mask]secret",
    "%0A::error::x%25",
    "[click](https://evil.example) {0} {1}",
    '" onmouseover="x',
    "\u202egnp.exe \x00 \ufffe",
    '\\"} 1\nonnxprune_check_passed 1',
]


def hostile_report(name: str) -> CheckReport:
    """Return a report in which a name is wherever a report has text."""
    path = f"models/{name}.onnx"
    return report(
        entry(f"max-latency-ratio[{name}]", outcome="fail", message=f"see {name}", hint=name,
              ci95=(0.1, 0.2)),
        entry("allow-ops", limit=[name], value=[name], outcome="fail", better=None, message=name),
        entry(f"min-metric[{name}]", outcome="inconclusive", value=None, message=name),
        entry(name="max-bytes", unit=name),
        path=path, notes=[name],
    )  # fmt: skip


def test_command_line_offers_all() -> None:
    assert set(_FORMATS) == set(FORMATS)


def junit(text: str) -> ET.Element:
    """Parse JUnit XML and check its structure by the schema of Jenkins' xUnit plug-in."""
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    assert set(root.attrib) <= {"name", "time", "tests", "failures", "errors"}
    [suite] = root
    assert suite.tag == "testsuite"
    assert {"name", "tests", "failures", "errors"} <= set(suite.attrib)
    assert set(suite.attrib) <= {"name", "tests", "failures", "errors", "skipped", "time"}
    assert re.fullmatch(r"\d+\.\d{3}", suite.attrib["time"])
    for case in suite:
        assert case.tag == "testcase"
        assert set(case.attrib) == {"name", "classname", "time"}
        [child] = case
        assert child.tag in {"failure", "skipped", "system-out"}
        assert set(child.attrib) <= {"type", "message"}
        assert not list(child)
    for counter, tag in (("failures", "failure"), ("skipped", "skipped")):
        assert int(suite.attrib[counter]) == len(suite.findall(f"testcase/{tag}"))
    assert int(suite.attrib["tests"]) == len(suite)
    return suite


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


def validate(name: str, text: str) -> Any:
    """Check the text of a format, and return what it says."""
    if name == "junit":
        return junit(text)
    if name == "markdown":
        return markdown(text)
    if name == "github":
        return github(text)
    if name == "gitlab-metrics":
        return metrics(text)
    document = json.loads(text)
    if name == "json":
        CheckReport.model_validate(document)
        jsonschema.validate(document, CheckReport.model_json_schema(mode="serialization"))
    else:
        kind = {"gitlab": "code-quality"}.get(name, name)
        jsonschema.validate(document, schema(kind))
        published = os.environ.get("SARIF_SCHEMA")
        if name == "sarif" and published:
            jsonschema.validate(document, json.loads(Path(published).read_text(encoding="utf-8")))
    return document


class Tags(HTMLParser):
    """Collects the elements of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag + "".join(f" {a}" for a, _ in attrs))


def markdown(text: str) -> list[str]:
    """Check that a summary holds a table of five columns, and nothing alive but code elements."""
    tags = Tags()
    tags.feed(text)
    assert tags.found <= {"code"}
    lines = text.splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert all(row.count("|") == 6 for row in rows)
    outside = re.sub(r"<code>[^<]*</code>", "", text)
    assert not re.search(r"[`\[\]@\\]|https?:|www\.", outside)
    inside = "".join(re.findall(r"<code>([^<]*)</code>", text))
    assert re.fullmatch(r"([A-Za-z0-9 ,=/]|&#\d+;|[^\x00-\x7f])*", inside)
    return rows


def github(text: str) -> list[str]:
    """Check that every line is one of our commands, with nothing in it for the runner."""
    lines = text.splitlines()
    for line in lines:
        match = re.fullmatch(r"::(error|warning|notice) file=([^,:]*),title=([^,:]*)::(.*)", line)
        assert match, line
        assert "##[" not in line
        assert not re.search(r"%(?!25|0D|0A|3A|2C|[0-9A-F]{2})", line)
    return lines


def metrics(text: str) -> list[str]:
    """Check the exposition format: comments, and samples with escaped labels."""
    lines = text.splitlines()
    sample = re.compile(r'[a-z_]+(\{limit="([^"\\]|\\\\|\\")*"\})? [0-9.e+-]+')
    for line in lines:
        assert line.startswith("# ") or sample.fullmatch(line), line
    assert lines[-1] == "# EOF"
    return lines


@pytest.mark.parametrize("document", [PLAIN, UNDECIDED, report(entry())], ids=["red", "?", "green"])
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_valid(name: str, document: CheckReport) -> None:
    validate(name, FORMATS[name].render(document))


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("name", sorted(FORMATS))
def test_names_do_nothing(name: str, hostile: str) -> None:
    text = FORMATS[name].render(hostile_report(hostile))
    found = validate(name, text)
    text.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff\ufffe]", text)
    sizes = {"junit": 4, "markdown": 6, "github": 4, "gitlab": 3, "gitlab-metrics": 6}
    if name in sizes:
        assert len(found) == sizes[name]
    if name == "sarif":
        [run] = found["runs"]
        for message in (r["message"]["text"] for r in run["results"]):
            assert not re.search(r"(?<!\\)\[", message)
            assert not re.search(r"(?<!\{)\{(?!\{)", message)
    if name == "gitlab-metrics":
        assert found.count("onnxprune_check_passed 0") == 1


@pytest.mark.parametrize("file", ["hostile/ansi_name", "hostile/html_name", "hostile/unknown_op"])
def test_corpus(file: str, shared: Path, tmp_path: Path, cli: Callable) -> None:
    source = shared / "corpus" / f"{file}.onnx"
    model = onnx.load(source)
    bad = model.graph.node[0].name
    model.graph.node[1].op_type = bad or "Frobnicate"
    model.graph.node[1].domain = f"x{bad}"
    model.opset_import.add(domain=f"x{bad}", version=1)
    model.metadata_props.add(key="onnxprune.source_sha256", value=bad)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    formats = [part for name in _FORMATS for part in ("--format", name)]
    outcome = cli(
        "check", path, "--baseline", source, "--allow-ops", "Conv", "--provenance", "--verified",
        "--max-bytes-ratio", 2, *formats, "-o", tmp_path / "out",
    )  # fmt: skip
    assert outcome.code == 1, outcome.err
    for name, form in FORMATS.items():
        text = outcome.out
        if form.file_name:
            text = (tmp_path / "out" / form.file_name).read_text(encoding="utf-8")
        validate(name, text)
    table = cli("check", path, "--baseline", source, "--allow-ops", "Conv", "--provenance")
    for text in (table.out, table.err, outcome.err):
        assert "\x1b" not in text
        assert not any(line.lstrip().startswith("::") for line in text.splitlines())

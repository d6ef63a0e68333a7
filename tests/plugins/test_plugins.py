"""Plug-ins: found, allowed, listed, and harmless when they are broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxprune.demo import MODEL

if TYPE_CHECKING:
    from pathlib import Path

RULE = """
from onnxprune.core.registry import macs, rule, shapes

@rule("Twice", domain="example")
def twice(ctx, node):
    '''All axes pass.'''
    ctx.set(node.outputs[0], ctx.factors(node.inputs[0]))

@shapes("Twice", domain="example")
def twice_shape(shapes, node):
    return [(shapes.dtypes[node.inputs[0]], shapes.shape(node.inputs[0]))]
"""

CRITERION = """
import numpy as np
from onnxprune.criteria import criterion

@criterion("first")
def first(context, group):
    '''The first ones leave last.'''
    return -np.arange(group.size, dtype=float)
"""

ALLOCATION = """
import numpy as np
from onnxprune.allocation import allocation

@allocation("turns")
def turns(context):
    '''Every group gives in turn.'''
    return [np.arange(len(c.scores), dtype=float) for c in context.candidates]
"""

RECOVERY = """
from onnxprune.recovery import recovery

@recovery("as-is")
def as_is(moments, weight, bias, *, free):
    '''Leave it.'''
    return lambda strength: (weight, bias)
"""

PROVIDER = """
import dataclasses
from onnxprune.providers import find_provider, register_provider

register_provider(dataclasses.replace(
    find_provider("cpu"), name="abacus", runtime_name="AbacusExecutionProvider", aliases=()))
"""


def weight(*shape: int) -> onnx.TensorProto:
    content = np.random.default_rng(shape).standard_normal(shape).astype(np.float32)
    return numpy_helper.from_array(content)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model with an operator that only the plug-in knows; ONNX Runtime does not run it."""
    v, w = weight(4, 8), weight(8, 3)
    v.name, w.name = "v", "w"
    nodes = [
        helper.make_node("MatMul", ["x", "v"], ["h"]),
        helper.make_node("Twice", ["h"], ["t"], domain="example"),
        helper.make_node("MatMul", ["t", "w"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph(nodes, "g", [x], [y], [v, w])
    imports = [helper.make_opsetid("", 21), helper.make_opsetid("example", 1)]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=10), path)
    return path


def test_a_rule_is_used_and_recorded(site, model: Path, tmp_path: Path) -> None:
    site.install("twice", RULE)
    plan, small = tmp_path / "plan.json", tmp_path / "small.onnx"
    done = site.onnxprune("plan", model, "-o", plan, "--ratio", "0.5")
    assert done.returncode == 0, done.stderr
    assert json.loads(plan.read_text())["plugins"] == {"twice": "1.0"}
    done = site.onnxprune("apply", model, plan, "-o", small, "--no-verify")
    assert (done.returncode, done.stderr) == (0, "")
    assert [tuple(t.dims) for t in onnx.load(small).graph.initializer] == [(4, 4), (4, 3)]


def test_a_plan_needs_its_plugins(site, model: Path, tmp_path: Path) -> None:
    site.install("twice", RULE)
    plan, small = tmp_path / "plan.json", tmp_path / "small.onnx"
    site.onnxprune("plan", model, "-o", plan, "--ratio", "0.5")
    arguments = ("apply", model, plan, "-o", small, "--no-verify")
    done = site.onnxprune(*arguments, allow="none")
    assert done.returncode == 2
    assert "plug-in twice 1.0: ONNXPRUNE_PLUGINS does not allow it" in done.stderr
    text = plan.read_text()
    plan.write_text(text.replace('"twice": "1.0"', '"twice": "0.9"'))
    done = site.onnxprune(*arguments)
    assert done.returncode == 0
    assert done.stderr == "warning: the plan was made with twice 0.9, here is 1.0\n"
    plan.write_text(text.replace('"twice": "1.0"', '"thrice": "1.0"'))
    done = site.onnxprune(*arguments)
    assert done.returncode == 2
    assert "plug-in thrice 1.0: it is not installed" in done.stderr
    assert "pip install 'thrice==1.0'" in done.stderr


def test_other_kinds_are_found_by_name(site, model: Path) -> None:
    site.install("twice", RULE)
    site.install("first", CRITERION, group="criteria")
    site.install("turns", ALLOCATION, group="allocations")
    site.install("abacus", PROVIDER, group="providers")
    done = site.onnxprune(
        "plan", model, "-o", "-", "--ratio", "0.5", "--criterion", "first", "--allocation", "turns"
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["groups"][0]["removed"] == [4, 5, 6, 7]
    criteria = json.loads(site.onnxprune("criteria", "--json", "-").stdout)
    assert "first" in [c["name"] for c in criteria["criteria"]]
    assert "turns" in [a["name"] for a in criteria["allocations"]]
    site.install("as-is", RECOVERY, group="recoveries")
    find = "from onnxprune.recovery.registry import RECOVERIES as r; print(r.find('as-is').module)"
    assert site.run("-c", find).stdout == "as_is_module\n"
    find = "from onnxprune.providers import find_provider; print(find_provider('Abacus').name)"
    assert site.run("-c", find).stdout == "abacus\n"
    rules = json.loads(site.onnxprune("rules", "--json", "-").stdout)["rules"]
    assert [r["op"] for r in rules if r["domain"] == "example"] == ["Twice"]


def test_child_processes_have_the_same_plugins(site) -> None:
    """A provider of a plug-in is known in the process that runs models."""
    site.install("abacus", PROVIDER, group="providers")
    code = """
from onnxprune.runtime.isolate import run_isolated
print(run_isolated("onnxprune.providers.registry:find_provider", {"name": "abacus"},
                   timeout_s=60, memory_limit_bytes=None).name)
"""
    done = site.run("-c", code)
    assert (done.stdout, done.stderr) == ("abacus\n", "")
    done = site.run("-c", code, allow="none")
    assert "there is no execution provider 'abacus'" in done.stderr


BROKEN = {
    "does not import": ("import nothing_of_that_name", "nothing_of_that_name"),
    "leaves": ("import sys; sys.exit(3)", "SystemExit: 3"),
    "claims a known operator": (
        RULE + "rule('Relu')(twice)\n",
        "ai.onnx::Relu since 1 is registered by onnxprune.rules.elementwise and again by",
    ),
    "escapes": (r"raise ValueError('\x1b[31m')", r"ValueError: \x1b[31m"),
}


@pytest.mark.parametrize(("code", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_one_warning(site, model: Path, code: str, reason: str) -> None:
    site.install("broken", code)
    done = site.onnxprune("analyze", model, "--json", "-")
    assert done.returncode == 0
    frozen = {f["reason"] for f in json.loads(done.stdout)["frozen"]}
    assert "no rule for example::Twice" in frozen  # what it had registered is gone again
    [line] = done.stderr.splitlines()
    assert line.startswith("warning: plug-in 'broken-point' of broken 1.0 is left out: ")
    assert reason in line


def test_a_broken_plugin_is_listed(site) -> None:
    site.install("broken", RULE + "1 / 0\n")
    entry = site.listed()["broken"]
    assert (entry["status"], entry["registered"]) == ("failed", [])
    assert entry["error"] == "ZeroDivisionError: division by zero"


def test_a_broken_plugin_does_not_matter_where_it_is_not_asked(site) -> None:
    site.install("broken", "1 / 0", group="criteria")
    site.install("broken-too", "1 / 0")

    done = site.onnxprune("plan", MODEL, "-o", "-", "--ratio", "0.5")
    assert (done.returncode, done.stderr.count("warning")) == (0, 0)
    done = site.onnxprune("plan", MODEL, "-o", "-", "--ratio", "0.5", "--criterion", "mine")
    assert done.returncode == 2
    assert "broken 1.0 is left out: ZeroDivisionError" in done.stderr
    assert "there is no criterion 'mine'" in done.stderr


ALLOWED = {
    None: ["First_One", "twice"],
    "": ["First_One", "twice"],
    "none": [],
    "twice": ["twice"],
    "first.one": ["First_One"],
    "twice-point, First_One": ["First_One", "twice"],
}


@pytest.mark.parametrize(("allow", "loaded"), ALLOWED.items(), ids=map(repr, ALLOWED))
def test_the_environment_says_what_may_be_loaded(
    site, allow: str | None, loaded: list[str]
) -> None:
    site.install("twice", "print('twice')")
    site.install("First_One", "print('First_One')", group="criteria")
    load = "from onnxprune.plugins import *; load_plugins(*sorted(GROUPS))"
    assert site.run("-c", load, allow=allow).stdout.split() == loaded


def test_what_may_not_be_loaded_is_listed(site) -> None:
    site.install("twice", RULE)
    site.install("other", RULE)
    found = site.listed(allow="twice")
    assert (found["twice"]["status"], found["twice"]["registered"]) == (
        "loaded",
        ["example::Twice"],
    )
    assert (found["other"]["status"], found["other"]["registered"]) == ("not allowed", [])


def test_a_name_that_is_not_installed_is_a_warning(site, model: Path) -> None:
    done = site.onnxprune("analyze", model, allow="twixe")
    assert done.returncode == 0
    assert done.stderr == "warning: ONNXPRUNE_PLUGINS names what is not installed: twixe\n"


def test_nothing_is_loaded_before_it_is_asked_for(site) -> None:
    """Not for help, and not because of a name in a model that rules here suffice for."""
    site.install("loud", "print('loaded')")
    assert "loaded" not in site.onnxprune("--help").stdout
    assert "loaded" not in site.onnxprune("analyze", MODEL).stdout
    modules = "import sys; import onnxprune.cli.main; print('importlib.metadata' in sys.modules)"
    assert site.run("-c", modules).stdout == "False\n"


def test_the_table_for_people(site) -> None:
    site.install("twice", RULE)
    lines = site.onnxprune("plugins", allow="twice").stdout.splitlines()
    [line] = [n for n in lines if "example::Twice" in n]
    assert line.split() == ["twice", "1.0", "rules", "loaded", "example::Twice"]

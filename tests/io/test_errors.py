"""Errors carry one safe message, an exit code, and survive a process boundary."""

from __future__ import annotations

import pickle

import pytest

from onnxprune import errors
from onnxprune.errors import InvalidModelError, OnnxPruneError, printable


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("conv/weight.1", "conv/weight.1"),
        ("größe 層", "größe 層"),
        ("a\x1b[31mb", "a\\x1b[31mb"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("a\x9bb", "a\\x9bb"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("line\u2028end", "line\\u2028end"),
        ("tag\U000e0041", "tag\\U000e0041"),
        ("back\\x1b", "back\\\\x1b"),
        (b"raw\xff", "raw\\xff"),
        ("##vso[task.x]y", "#\\x23vso[task.x]y"),
        ("a#b", "a#b"),
        (7, "7"),
    ],
    ids=ascii,
)
def test_printable_shows_every_character_as_what_it_is(text, wanted):
    assert printable(text) == wanted


def test_printable_keeps_both_ends_of_long_names():
    shown = printable("start" + "x" * 10_000 + "end", limit=40)
    assert shown.startswith("start")
    assert shown.endswith("end")
    assert len(shown) < 50


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("InvalidModelError", 2),
        ("InvalidConfigError", 2),
        ("PlanMismatchError", 2),
        ("RuleError", 2),
        ("DuplicateRuleError", 2),
        ("PluginError", 2),
        ("VerificationError", 1),
        ("NothingToPruneError", 1),
        ("TargetError", 1),
        ("ProviderUnavailableError", 3),
        ("InternalError", 4),
    ],
)
def test_exit_codes(kind, code):
    error = getattr(errors, kind)("what")
    assert isinstance(error, OnnxPruneError)
    assert error.exit_code == code


def test_errors_survive_a_process_boundary():
    error = InvalidModelError("what happened", hint="try this")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is InvalidModelError
    assert (again.message, again.hint, str(again)) == (error.message, error.hint, str(error))
    assert str(again) == "what happened (try this)"

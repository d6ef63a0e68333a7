"""ONNX Runtime's error texts, reduced to the one short line that a user can act on.

They arrive as a sentence after status codes, source locations, C++ signatures and the model's path;
what is kept is the sentence and the node it is about.
"""

from __future__ import annotations

import re
from typing import Final

from onnxprune.errors import printable

__all__ = ["is_out_of_memory", "short_reason"]

_LIMIT: Final = 240

# Names from the model may be of any length; what matters stands before this.
_LONGEST: Final = 20_000
_LONGEST_SIGNATURE: Final = 2_000

# What may stand before the sentence, in any order and more than once.
_PREAMBLES: Final = (
    re.compile(r"\[ONNXRuntimeError\] : -?\d+ : \w+ : "),
    re.compile(r"Load model from .*? failed:\s*", re.DOTALL),
    re.compile(r"Exception (?:during initialization|caught): "),
    re.compile(r"This is an invalid model\.\s+(?:Error: )?(?!In Node)"),
)

# What names a node before the sentence; the innermost one is kept.
_NODES: Final = (
    re.compile(
        r"Non-zero status code returned while running (?P<op>\S+) node\. "
        r"Name:'(?P<name>.*?)' Status Message: ",
        re.DOTALL,
    ),
    re.compile(
        r"This is an invalid model\. In Node, "
        r'\("(?P<name>.*?)", (?P<op>\S+?), ".*?", -?\d+\) : .*?, Error ',
        re.DOTALL,
    ),
    re.compile(
        r"Node \((?P<name>.*?)\) Op \((?P<op>\S+?)\) \[\w+InferenceError\] ",
        re.DOTALL,
    ),
)

_LOCATION: Final = re.compile(r"(?P<path>(?:[A-Z]:)?[^\s:]+\.(?:cc|cpp|cu|cuh|h|hpp)):\d+ ")
_FUNCTION_NAME: Final = re.compile(r"\w+ ")
_CONDITION: Final = re.compile(r"[^.]{1,200}? was false\.\s*(?=\S)")
_ADVICE: Final = re.compile(r"\s*Please fix either the inputs/outputs or the model\.\s*")
_NEW_OPSET: Final = re.compile(
    r"ONNX Runtime only \*guarantees\*.*?Opset (?P<seen>\d+) is under development.*"
    r"domain (?P<domain>\S+) is till opset (?P<newest>\d+)",
    re.DOTALL,
)
_OUT_OF_MEMORY: Final = re.compile(
    r"Failed to allocate memory|bad_alloc|bad allocation|Cannot allocate memory|out of memory",
    re.IGNORECASE,
)


def is_out_of_memory(text: str) -> bool:
    """Tell whether an error text says that memory could not be had."""
    return _OUT_OF_MEMORY.search(text) is not None


def short_reason(text: str) -> str:
    """Return one printable line: the sentence of an ONNX Runtime error and the node it is about.

    Examples:
        >>> short_reason("[ONNXRuntimeError] : 1 : FAIL : Node (a1) Op (Add) "
        ...              "[ShapeInferenceError] Incompatible dimensions")
        "node 'a1' (Add): Incompatible dimensions"
    """
    text = text[:_LONGEST]
    node = ""
    position = 0
    while True:
        start = position
        for pattern in _PREAMBLES:
            if match := pattern.match(text, position):
                position = match.end()
        for pattern in _NODES:
            if match := pattern.match(text, position):
                node = f"node '{printable(match['name'])}' ({printable(match['op'])}): "
                position = match.end()
        if match := _LOCATION.match(text, position):
            position = _after_signature(text, match)
        if position == start:
            break
    return node + _sentence(text[position:])


def _sentence(text: str) -> str:
    if match := _NEW_OPSET.search(text):
        domain, seen, newest = match["domain"], match["seen"], match["newest"]
        return printable(
            f"opset {seen} of domain {domain} is newer than {newest}, the newest it supports"
        )
    if match := _CONDITION.match(text):
        text = text[match.end() :]
    return printable(" ".join(_ADVICE.sub(" ", text).split()), limit=_LIMIT)


def _after_signature(text: str, location: re.Match[str]) -> int:
    """Return where the sentence starts after a source location and the function it is in.

    After a full path the function is a whole C++ signature, which ends at the first space outside
    brackets after its parameters; after a bare file name it is one word.
    """
    start = location.end()
    if "/" not in location["path"] and "\\" not in location["path"]:
        word = _FUNCTION_NAME.match(text, start)
        return word.end() if word else start
    depth = 0
    parameters_seen = False
    for position in range(start, min(len(text), start + _LONGEST_SIGNATURE)):
        character = text[position]
        if character in "(<[":
            depth += 1
        elif character in ")>]":
            depth -= 1
            parameters_seen = parameters_seen or character == ")"
        elif character == " " and depth == 0 and parameters_seen:
            rest = text[position + 1 :]
            if not rest.startswith(("const ", "[with ", "const [", "noexcept ")):
                return position + 1
    return start

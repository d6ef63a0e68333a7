"""Say where in a model something is wrong, once, and at the innermost place."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, ParamSpec

from onnxprune.errors import InvalidModelError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from onnx import NodeProto

__all__ = ["LocatedError", "described_node", "located", "normal_domain"]

_Arguments = ParamSpec("_Arguments")


class LocatedError(InvalidModelError):
    """An error whose message already says where in the model it is."""


@contextmanager
def located(
    describe: Callable[_Arguments, str], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> Iterator[None]:
    """Put a description in front of errors from the block that do not say yet where they are.

    Args:
        describe: Returns the description; called only for an error.
        args: What describe is called with.
        kwargs: Likewise.
    """
    try:
        yield
    except LocatedError:
        raise
    except InvalidModelError as error:
        msg = f"{describe(*args, **kwargs)} {error.message}"
        raise LocatedError(msg, hint=error.hint) from None


def normal_domain(domain: str) -> str:
    """Return a domain in its one spelling: the default domain has two."""
    return "" if domain == "ai.onnx" else domain


def described_node(node: NodeProto, opsets: Mapping[str, int]) -> str:
    """Return a node's name, operator and opset for a message."""
    domain = normal_domain(node.domain)
    operator = f"{domain}::{node.op_type}" if domain else node.op_type
    version = opsets.get(domain)
    kind = f"({printable(operator)}{'' if version is None else f', opset {version}'})"
    if node.name:
        return f"node '{printable(node.name)}' {kind}"
    if any(node.output):
        return f"unnamed node {kind} that writes '{printable(next(filter(None, node.output)))}'"
    return f"unnamed node {kind}"

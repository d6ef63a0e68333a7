"""Set up the joint refit of all that a walk has repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from onnxprune.recovery.backward import Backward
from onnxprune.recovery.joint import refit_jointly, variable
from onnxprune.runtime.segment import bias_name, needed_steps

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.core.dependencies import Dependencies
    from onnxprune.recovery.inorder import Outcome
    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.stream import TwinStream

    Array = np.ndarray

JOINTLY = "least-squares"
"""The recovery that joint steps follow."""

_MOST_FEATURES = 2048
"""An operator with more features, counted in a group, is not refitted jointly."""

_MOST_WEIGHTS = 16_000_000
"""Nor are operators with more weights in all, of which a step remembers a dozen copies."""


def improve(  # noqa: C901 - sites, values, weights and biases in turn
    deps: Dependencies,
    stream: TwinStream,
    sites: Sequence[Site],
    outcome: Outcome,
    read: Callable[[str], Array],
    *,
    samples: Sequence[tuple[int, Mapping[str, Array]]],
    rounds: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Refit all changed operators together and put the result into an outcome.

    Args:
        deps: the analysis.
        stream: what the walk left behind: the network with its repairs and masks.
        sites: operators that can be repaired.
        outcome: what leaves and what was repaired; changed where held-back samples gain.
        read: returns the content of a parameter.
        samples: fold and content of each batch; half of the first fold is held back.
        rounds: steps at most.
        progress: called with the steps made, and how many there may be.
    """
    nodes = {n.index: n for n in deps.graph.nodes if not n.scope}
    changed = [s for s in sites if _changed(s, stream, outcome)]
    varying = [s for s in changed if not s.pointwise and _single(s) and _small(s)]
    if sum(int(np.prod(s.weight.chain.parameter.shape)) for s in varying) > _MOST_WEIGHTS:
        return
    now = {k: _content(k, outcome, read) for s in varying for k in _parameters(s)}
    weights = {s.number: s.weight.load(now[s.weight.chain.parameter.key]) for s in varying}
    wanted = _read_by(changed, stream, outcome)
    before = set(needed_steps(stream.program, range(len(stream.program.steps)), wanted))
    for site in varying:
        if site.number not in before:  # nothing repaired follows: what it makes is what counts
            wanted[site.y] = site.target_axis, _alive(site, outcome, _outputs(weights[site.number]))
    held = [number for number, (fold, _) in enumerate(samples) if fold == 0]
    held = held[: max(1, len(held) // 2)]
    train = [b for b in range(len(samples)) if b not in held]
    if not varying or not wanted or not train:
        return
    biases = dict(stream.biases)
    for site in varying:
        if site.bias is not None and not site.bias.parameter:
            nothing = np.zeros(_outputs(weights[site.number]), np.float32)
            biases.setdefault(site.number, nothing)
    network = Backward(
        stream.program, nodes, varying, wanted, [batch for _, batch in samples],
        weights=dict(stream.weights), biases=biases, masks=stream.masks,
    )  # fmt: skip
    varying = network.sites  # those of them that a value depends on
    if not varying:
        return
    variables, moments = [], network.moments(train)
    for site in varying:
        kept = np.repeat(_kept(site, outcome), site.rows.kernel).reshape(site.groups, -1)
        variables.append(variable(site, kept, weights[site.number], moments[site.number]))

    def content(found: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
        made: dict[str, Array] = {}
        for site, (weight, shift) in zip(varying, found, strict=True):
            key = site.weight.chain.parameter.key
            made[key] = site.weight.store(weight, now[key])
            if site.bias is None:
                continue
            key = site.bias.parameter
            if key:
                made[key] = site.bias.add(now[key], shift.reshape(-1))
            else:
                made[bias_name(site.y)] = biases[site.number] + shift.reshape(-1)
        return made

    best = refit_jointly(
        network, variables, content, train=train, held=held, rounds=rounds, progress=progress
    )
    named = {bias_name(s.y): s.y for s in varying}
    for key, value in best.items():
        if key in named:
            outcome.biases[named[key]] = value
        else:
            outcome.weights[key] = value


def _read_by(
    sites: Sequence[Site], stream: TwinStream, outcome: Outcome
) -> dict[str, tuple[int, Array]]:
    """Return the changed values that operators read: the axis of the channels, and who stays."""
    found: dict[str, tuple[int, Array]] = {}
    for site in sites:
        if stream.differs(site.x):
            _, others = found.get(site.x, (0, np.zeros(site.channels, bool)))
            found[site.x] = site.axis, others | _kept(site, outcome)
    return found


def _changed(site: Site, stream: TwinStream, outcome: Outcome) -> bool:
    gone = site.gone(outcome.removed)
    return stream.differs(site.x) or (gone is not None and bool(gone.any()))


def _kept(site: Site, outcome: Outcome) -> Array:
    gone = site.gone(outcome.removed)
    return np.ones(site.channels, bool) if gone is None else ~gone


def _alive(site: Site, outcome: Outcome, outputs: int) -> Array:
    dead = site.dead(outcome.removed)
    return np.ones(outputs, bool) if dead is None else ~dead


def _outputs(weight: Array) -> int:
    """Return the number of outputs of weights [groups, features, outputs]."""
    return int(weight.shape[0] * weight.shape[2])


def _small(site: Site) -> bool:
    """Tell whether the moments of a site's features can be decomposed in passing."""
    return site.channels // site.groups * site.rows.kernel <= _MOST_FEATURES


def _single(site: Site) -> bool:
    """Tell whether a site's parameters are in single precision."""
    return site.weight.chain.parameter.dtype == TensorProto.FLOAT


def _parameters(site: Site) -> list[str]:
    """Return the keys of a site's weight and of its bias, if that has one."""
    bias = site.bias.parameter if site.bias is not None else ""
    return [site.weight.chain.parameter.key, *([bias] if bias else [])]


def _content(key: str, outcome: Outcome, read: Callable[[str], Array]) -> Array:
    found = outcome.weights.get(key)
    return read(key) if found is None else found

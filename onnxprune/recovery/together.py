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


def improve(  # noqa: C901, PLR0912 - sites, values, weights and biases in turn
    deps: Dependencies,
    stream: TwinStream,
    sites: Sequence[Site],
    outcome: Outcome,
    read: Callable[[str], Array],
    *,
    batches: Sequence[Mapping[str, Array]],
    folds: Sequence[int],
    rounds: int,
) -> list[float]:
    """Refit all changed operators together and put the result into an outcome.

    Args:
        deps: the analysis.
        stream: what the walk left behind: the network with its repairs and masks.
        sites: operators that can be repaired.
        outcome: what leaves and what was repaired; changed.
        read: returns the content of a parameter.
        batches: samples.
        folds: fold of each batch; half of the first is held back.
        rounds: steps at most.

    Returns:
        The held-back errors before and after each step, none where nothing can be refitted.
    """
    if not rounds:
        return []
    nodes = {n.index: n for n in deps.graph.nodes if not n.scope}
    changed = [s for s in sites if _changed(s, stream, outcome)]
    wanted: dict[str, tuple[int, Array]] = {}
    for site in changed:
        if stream.differs(site.x):
            _, others = wanted.get(site.x, (0, np.zeros(site.channels, bool)))
            wanted[site.x] = site.axis, others | _kept(site, outcome)
    varying = [s for s in changed if not s.pointwise and _single(s) and _small(s)]
    if sum(int(np.prod(s.weight.chain.parameter.shape)) for s in varying) > _MOST_WEIGHTS:
        return []
    before = set(needed_steps(stream.program, range(len(stream.program.steps)), wanted))
    for site in varying:
        if site.number not in before:  # nothing repaired follows: what it makes is what counts
            wanted[site.y] = site.target_axis, _alive(site, outcome, read)
    held = [b for b, f in enumerate(folds) if f == 0]
    held = held[: max(1, len(held) // 2)]
    train = [b for b in range(len(batches)) if b not in held]
    if not varying or not wanted or not train:
        return []
    biases = dict(stream.biases)
    for site in varying:
        if site.bias is not None and not site.bias.parameter:
            width = site.weight.load(_content(site, outcome, read)).shape
            biases.setdefault(site.number, np.zeros(width[0] * width[2], np.float32))
    network = Backward(
        stream.program, nodes, varying, wanted, batches,
        weights=dict(stream.weights), biases=biases, masks=stream.masks,
    )  # fmt: skip
    varying = network.sites  # those of them that a value depends on
    if not varying:
        return []
    variables, moments = [], network.moments(train)
    for site in varying:
        kept = np.repeat(_kept(site, outcome), site.rows.kernel).reshape(site.groups, -1)
        weight = site.weight.load(_content(site, outcome, read))
        variables.append(variable(site, kept, weight, moments[site.number]))

    def content(found: Sequence[tuple[Array, Array]]) -> dict[str, Array]:
        made: dict[str, Array] = {}
        for site, (weight, shift) in zip(varying, found, strict=True):
            made[site.weight.chain.parameter.key] = site.weight.store(
                weight, _content(site, outcome, read)
            )
            if site.bias is None:
                continue
            key = site.bias.parameter
            if key:
                base = outcome.weights.get(key)
                made[key] = site.bias.add(read(key) if base is None else base, shift.reshape(-1))
            else:
                made[bias_name(site.y)] = biases[site.number] + shift.reshape(-1)
        return made

    best, errors = refit_jointly(network, variables, content, train=train, held=held, rounds=rounds)
    named = {bias_name(s.y): s.y for s in varying}
    for key, value in best.items():
        if key in named:
            outcome.biases[named[key]] = value
        else:
            outcome.weights[key] = value
    return errors


def _changed(site: Site, stream: TwinStream, outcome: Outcome) -> bool:
    gone = site.gone(outcome.removed)
    return stream.differs(site.x) or (gone is not None and bool(gone.any()))


def _kept(site: Site, outcome: Outcome) -> Array:
    gone = site.gone(outcome.removed)
    return np.ones(site.channels, bool) if gone is None else ~gone


def _alive(site: Site, outcome: Outcome, read: Callable[[str], Array]) -> Array:
    dead = site.dead(outcome.removed)
    groups, _, outputs = site.weight.load(_content(site, outcome, read)).shape
    return np.ones(groups * outputs, bool) if dead is None else ~dead


def _small(site: Site) -> bool:
    """Tell whether the moments of a site's features can be decomposed in passing."""
    return site.channels // site.groups * site.rows.kernel <= _MOST_FEATURES


def _single(site: Site) -> bool:
    """Tell whether a site's parameters are in single precision."""
    return site.weight.chain.parameter.dtype == TensorProto.FLOAT


def _content(site: Site, outcome: Outcome, read: Callable[[str], Array]) -> Array:
    key = site.weight.chain.parameter.key
    found = outcome.weights.get(key)
    return read(key) if found is None else found

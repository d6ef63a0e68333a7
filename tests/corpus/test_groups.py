"""The channel groups that the corpus names: found, removed, and verified exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from onnxprune.analysis import analyze_model
from onnxprune.core.registry import RULES
from onnxprune.io import write_model
from onnxprune.rewrite import rewrite
from onnxprune.verification import verify_cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from onnxprune.analysis import Analysis

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
MANIFEST = CORPUS / "manifest.json"

MISSED = (
    {} if RULES.find("FusedConv", "com.microsoft", 1)
    else {"fusedconv": "an operator of another domain, whose plug-in is not installed"}
)  # fmt: skip
"""Files with groups that are not found, and why."""

SHARE = 0.95


class Place(NamedTuple):
    """Where channels of a group are: index i stands for `block` indices from `offset` on."""

    parameter: str
    axis: int
    offset: int
    block: int

    def indices(self, channel: int) -> range:
        """Return the indices of a channel."""
        start = self.offset + channel * self.block
        return range(start, start + self.block)


def entries() -> list:
    """Return the valid files that name groups."""
    if not MANIFEST.exists():
        reason = "needs the corpus beside the repository"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    models = json.loads(MANIFEST.read_text(encoding="utf-8"))["models"]
    return [pytest.param(e, id=e["name"]) for e in models if e["kind"] == "valid" and e["groups"]]


def places_of(group: dict) -> list[Place]:
    """Read `initializer:axis`, `:offset` and `:block` of each slice."""
    found = []
    for text in group["slices"]:
        name, *numbers = text.split(":")
        axis, offset, block = *map(int, numbers), *(0, 1)[len(numbers) - 1 :]
        found.append(Place(name, axis, offset, block))
    return found


def roots_of(analysis: Analysis, place: Place, channel: int, level: int) -> set[int]:
    """Return the label sets at the indices of a channel, of rows where the axis has them."""
    factors = analysis.deps.ctx.sources.get(place.parameter, ())
    on_axis = [f for f in factors if place.axis in f.axes]
    chosen = [f for f in on_axis if f.level == level] or [f for f in on_axis if f.level == 0]
    found: set[int] = set()
    for factor in chosen:
        labels = factor.labels.take(list(place.indices(channel)), factor.axes.index(place.axis))
        found.update(analysis.deps.roots[labels].ravel().tolist())
    return found


def leaving(analysis: Analysis, place: Place, removed: NDArray[np.bool_]) -> set[int]:
    """Return the indices of a parameter axis that leave altogether."""
    gone: set[int] = set()
    for factor in analysis.deps.ctx.sources.get(place.parameter, ()):
        if place.axis in factor.axes:
            flags = np.moveaxis(removed[factor.labels], factor.axes.index(place.axis), 0)
            gone.update(np.flatnonzero(flags.reshape(len(flags), -1).all(axis=1)).tolist())
    return gone


def atoms_of(analysis: Analysis, places: list[Place], channel: int) -> set[int] | None:
    """Return label sets whose removal takes a channel of a group and no other; None if none do."""
    deps = analysis.deps
    for level in (1, 0):
        found = set().union(*(roots_of(analysis, p, channel, level) for p in places))
        removed = deps.removed_labels(np.array(sorted(found), np.int64))
        wanted: dict[tuple[str, int], set[int]] = {}
        for place in places:
            wanted.setdefault((place.parameter, place.axis), set()).update(place.indices(channel))
        if not found & ({0} | deps.frozen.keys()) and all(
            leaving(analysis, p, removed) == wanted[p.parameter, p.axis] for p in places
        ):
            return found
    return None


def found_groups(analysis: Analysis, entry: dict) -> Iterator[set[int]]:
    """Yield the atoms of the first channel of every group that is found whole."""
    for group in entry["groups"]:
        places = places_of(group)
        channels = [atoms_of(analysis, places, c) for c in range(group["channels"])]
        if channels[0] is not None and None not in channels:
            yield channels[0]


@pytest.mark.parametrize("entry", entries())
def test_groups_are_found_and_leave(entry: dict, tmp_path: Path) -> None:
    analysis = analyze_model(CORPUS / entry["file"])
    found = list(found_groups(analysis, entry))
    if entry["name"] in MISSED:
        assert len(found) < len(entry["groups"]), "found now: take it out of the table"
        return
    assert len(found) == len(entry["groups"])
    removed = analysis.deps.removed_labels(np.array(sorted(set().union(*found)), np.int64))
    assert not analysis.sites.emptied(removed)
    cut = rewrite(
        analysis.proto, analysis.model.array, analysis.deps, removed, copies=analysis.copies
    )
    pruned = tmp_path / "pruned.onnx"
    write_model(cut.proto, pruned, source=analysis.model, arrays=cut.arrays)
    verification = verify_cut(analysis, removed, pruned)
    assert verification.exact, verification.failures


def test_few_groups_are_missed() -> None:
    listed = [e.values[0] for e in entries()]
    if listed == [None]:
        pytest.skip("needs the corpus beside the repository")
    count = sum(len(e["groups"]) for e in listed)
    missed = sum(len(e["groups"]) for e in listed if e["name"] in MISSED)
    assert missed <= (1 - SHARE) * count

"""Run the whole network with other weights at some operators, without building it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from onnxprune.runtime.segment import bias_name, needed_steps, open_segment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from onnxprune.recovery.sites import Site
    from onnxprune.runtime.feeds import Array, Feed
    from onnxprune.runtime.segment import Program


class Network:
    """One session whose weights at repairable operators are inputs.

    Args:
        program: the graph.
        sites: operators whose weights may be replaced.
        read: returns the content of a parameter.
        feeds: samples to run on.
    """

    def __init__(
        self,
        program: Program,
        sites: Sequence[Site],
        read: Callable[[str], Array],
        feeds: Sequence[Feed],
    ) -> None:
        self._sites = {s.number: s for s in sites}
        self._read = read
        self._feeds = feeds
        self._base: dict[str, Array] = {}
        biases: dict[int, Array] = {}
        for site in sites:
            key = site.weight.chain.parameter.key
            self._base[key] = read(key)
            if site.bias is None:
                continue
            if site.bias.parameter:
                self._base[site.bias.parameter] = read(site.bias.parameter)
            else:
                outputs = site.weight.load(self._base[key])
                zeros = np.zeros(outputs.shape[0] * outputs.shape[2], np.float32)
                biases[site.number] = zeros
                self._base[bias_name(site.y)] = zeros
        first = {k: v for k, v in feeds[0].items() if isinstance(v, np.ndarray)}
        self._call = open_segment(
            program, needed_steps(program, range(len(program.steps)), program.outputs),
            program.outputs, weights={}, biases=biases,
            like={**first, **self._base},
        )  # fmt: skip
        self._original = [self._call({**self._base, **f}) for f in feeds]

    def error(self, new: Mapping[int, tuple[Array, Array]]) -> float:
        """Return the error of the outputs, relative to their variance; NaN where none is a number.

        Args:
            new: weights and shifts of the bias by node number.
        """
        changed = dict(self._base)
        for number, (weight, shift) in new.items():
            site = self._sites[number]
            key = site.weight.chain.parameter.key
            changed[key] = site.weight.store(weight, self._base[key])
            if site.bias is None:
                continue
            name = site.bias.parameter or bias_name(site.y)
            changed[name] = site.bias.add(self._base[name], shift)
        wrong: dict[str, list[float]] = {}
        for feed, original in zip(self._feeds, self._original, strict=True):
            for name, array in self._call({**changed, **feed}).items():
                wanted = original[name].astype(np.float64)
                if array.shape != wanted.shape or array.dtype.kind != "f":
                    continue
                both = np.isfinite(array) & np.isfinite(wanted)
                if both.any():
                    total = wrong.setdefault(name, [0.0, 0.0])
                    total[0] += float(np.square(array[both] - wanted[both]).sum())
                    total[1] += float(np.square(wanted[both] - wanted[both].mean()).sum()) + 1e-30
        return float(np.mean([a / b for a, b in wrong.values()])) if wrong else np.nan

"""Open dimensions get distinct and plausible sizes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxprune.errors import InvalidConfigError
from onnxprune.runtime.dims import choose_dims
from onnxprune.runtime.inputs import InputSpec


def _specs(*shapes):
    return [InputSpec(f"in{n}", np.dtype(np.float32), shape) for n, shape in enumerate(shapes)]


_IMAGE = _specs(("N", 3, "H", "W"))
_DECODER = _specs(
    ("batch_size", "sequence_length"),
    ("batch_size", "past_sequence_length + sequence_length"),
    ("batch_size", 12, "past_sequence_length", 64),
)


@pytest.mark.parametrize(
    ("specs", "wanted", "setting", "sizes"),
    [
        (_specs((1, 3)), {}, 0, {}),
        (_specs(None), {}, 0, {}),
        (_IMAGE, {}, 0, {"N": 2, "H": 64, "W": 96}),
        (_IMAGE, {}, 1, {"N": 3, "H": 128, "W": 160}),
        (_IMAGE, {"H": 5, "N": 0}, 1, {"N": 0, "H": 5, "W": 96}),
        (_IMAGE, {"N": 64}, 0, {"N": 64, "H": 96, "W": 128}),
        (_specs(("N", "M1", "M2", 3)), {}, 0, {"N": 2, "M1": 64, "M2": 96}),
        (_specs(("in0:0", 3, 8, "in0:3")), {}, 0, {"in0:0": 2, "in0:3": 64}),
        (_specs((1, "samples")), {}, 0, {"samples": 16000}),
        (_specs(("sequence_length", 576)), {}, 0, {"sequence_length": 16}),
        (_specs(("b", "t"), ("b",)), {}, 0, {"b": 2, "t": 16}),
        (
            _DECODER,
            {},
            0,
            {
                "batch_size": 2,
                "sequence_length": 16,
                "past_sequence_length + sequence_length": 40,
                "past_sequence_length": 24,
            },
        ),
        (
            _DECODER,
            {"past_sequence_length": 0, "sequence_length": 4},
            1,
            {
                "batch_size": 3,
                "sequence_length": 4,
                "past_sequence_length + sequence_length": 4,
                "past_sequence_length": 0,
            },
        ),
        (_specs(("s", "2*(s+1)//3 - 1")), {"s": 8}, 0, {"s": 8, "2*(s+1)//3 - 1": 5}),
        (_specs(("s", "s + 1")), {"s + 1": 3, "s": 8}, 0, {"s": 8, "s + 1": 3}),
        (
            _specs((1, "total_sequence_length"), (1, "past_sequence_length", "sequence_length")),
            {"past_sequence_length": 3, "sequence_length": 4},
            0,
            {"total_sequence_length": 7, "past_sequence_length": 3, "sequence_length": 4},
        ),
    ],
)
def test_choose_dims(specs, wanted, setting, sizes):
    assert choose_dims(specs, wanted, setting=setting) == sizes


@pytest.mark.parametrize(
    "symbol",
    [
        "other + 1",
        "s ** 9",
        "s.x",
        "f(s)",
        "s +",
        "1 + 1",
        "(" * 150,
        "-s",
        "s + 1.5",
        "s[0]",
        "\x00",
    ],
)
def test_what_is_no_sum_is_a_symbol(symbol):
    sizes = choose_dims(_specs(("s", symbol)), {"s": 7}, setting=0)
    assert sizes == {"s": 7, symbol: 16}


@pytest.mark.parametrize(
    ("specs", "wanted", "text"),
    [
        (_IMAGE, {"T": 3}, r"dimension 'T', which no input has \(open dimensions: N, H, W\)"),
        (_specs((1,)), {"T": 3}, "all sizes are fixed"),
        (_IMAGE, {"N": -1}, "size -1 given for dimension 'N'"),
        (_specs(("s", "s - 9")), {"s": 3}, "dimension 's - 9' has no size"),
        (_specs(("s", "s // s")), {"s": 0}, "dimension 's // s' has no size"),
    ],
)
def test_refused(specs, wanted, text):
    with pytest.raises(InvalidConfigError, match=text):
        choose_dims(specs, wanted, setting=0)


_SYMBOLS = st.sampled_from(["N", "batch", "seq", "T", "H", "width", "samples", "k"])


@given(
    st.lists(st.lists(_SYMBOLS, max_size=5).map(tuple), max_size=4),
    st.dictionaries(_SYMBOLS, st.integers(0, 200), max_size=2),
)
def test_sizes_are_distinct(shapes, wanted):
    specs = _specs(*shapes)
    symbols = {symbol for shape in shapes for symbol in shape}
    wanted = {symbol: size for symbol, size in wanted.items() if symbol in symbols}
    chosen = [choose_dims(specs, wanted, setting=setting) for setting in range(3)]
    free = [size for sizes in chosen for name, size in sizes.items() if name not in wanted]
    assert len(set(free)) == len(free)
    assert set(free).isdisjoint(wanted.values())
    assert all(sizes.keys() == symbols for sizes in chosen)
    assert all(sizes[name] == size for sizes in chosen for name, size in wanted.items())

"""Scores from a file: read, mapped to atoms, or refused with what is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest

from onnxprune.errors import InvalidConfigError

GRAPH = """(float[N,2,4,4] x) => (float[N,2] y) <float[3,2,1,1] a, float[2,12] b>
    { h = Conv(x, a)  p = AveragePool<kernel_shape=[3,3], strides=[1,1]>(h)  f = Flatten(p)
      y = Gemm<transB=1>(f, b) }"""


@pytest.fixture
def asked(tmp_path, score):
    """From the content of a file to the scores of the channels between two operators."""
    path = tmp_path / "scores.json"

    def ask(content):
        found = score(GRAPH)
        if isinstance(content, dict):
            group = found.analysis.deps.groups[0].id
            digest = found.analysis.model.sha256
            text = json.dumps({"format": "onnxprune.scores/1", **content})
            content = text.replace("GROUP", group).replace("DIGEST", digest)
        path.write_text(content)
        return found.scores("file", "a", 0, argument=str(path))

    return ask


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"scores": [{"group": "GROUP", "values": [3, 1, 2]}]}, [3, 1, 2]),
        ({"model_sha256": "DIGEST", "source": "gradients",
          "scores": [{"group": "GROUP", "values": [0, -1, 2.5]}]}, [0, -1, 2.5]),
        ({"scores": [{"initializer": "a", "axis": 0, "values": [3, 1, 2]}]}, [3, 1, 2]),
        ({"scores": [{"initializer": "b", "axis": 1, "values": list(range(12))}]}, [6, 22, 38]),
        ({"scores": [{"initializer": "a", "axis": 0, "values": [1, 1, 1]},
                     {"initializer": "b", "axis": 1, "values": [1] * 12}]}, [5, 5, 5]),
    ],
)  # fmt: skip
def test_scores_reach_their_channels(content, expected, asked):
    np.testing.assert_allclose(asked(content), expected)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("no json", "is no file of scores that can be read"),
        ("{}", "scores: Field required"),
        ({"format": "onnxprune.scores/2", "scores": []}, "format"),
        ({"scores": [], "more": 1}, "more"),
        ({"scores": []}, "no score for 3 of 3 channels"),
        ({"scores": [{"values": [1]}]}, "names a `group`"),
        ({"scores": [{"group": "GROUP", "axis": 0, "values": [1]}]}, "names a `group`"),
        ({"scores": [{"initializer": "a", "axis": -1, "values": [1]}]}, "names a `group`"),
        ({"scores": [{"group": "GROUP", "values": [1, 2]}]}, "2 values .* one of 3"),
        ({"scores": [{"group": "GROUP", "values": [1, 2, 3]}] * 2}, "2 entries for group"),
        ({"scores": [{"group": "GROUP", "values": [1, 2, float("nan")]}]}, "finite"),
        ({"scores": [{"group": "g99", "values": [1]}]}, "group 'g99', which there is not"),
        ({"scores": [{"initializer": "c", "axis": 0, "values": [1]}]}, "'c', which there is not"),
        ({"scores": [{"initializer": "a", "axis": 0, "values": [1]}]}, r"'a', of shape"),
        ({"scores": [{"initializer": "a", "axis": 7, "values": [1]}]}, r"axis 7 of 'a'"),
        ({"model_sha256": "0" * 64, "scores": []}, "was made for a model"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(content, match, asked):
    with pytest.raises(InvalidConfigError, match=match):
        asked(content)


def test_a_missing_file_is_named(score, tmp_path):
    with pytest.raises(InvalidConfigError, match=r"nowhere\.json"):
        score(GRAPH).scores("file", "a", 0, argument=str(tmp_path / "nowhere.json"))

"""Labels and subgroups: what people have is read, mistakes end in one sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from onnxprune.audit.annotations import read_annotations
from onnxprune.errors import InvalidConfigError

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    if name.endswith(".npy"):
        np.save(path, content)
    elif name.endswith(".npz"):
        np.savez(path, **content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


READ = [
    ("a.npy", np.array([1, 0, 2])),
    ("a.npy", np.array([[1], [0], [2]], np.uint8)),
    ("a.npz", {"label": np.array([1, 0, 2]), "image": np.zeros((3, 4))}),
    ("a.npz", {"anything": np.array(["1", "0", "2"])}),
    ("a.json", [1, "0", 2]),
    ("a.json", {"labels": [1, 0, 2]}),
    ("a.json", {"2": 2, "0": 1, "1": 0}),
    ("a.json", {"label": {"2": "c", "0": "b", "1": "a"}, "classes": ["a", "b", "c"]}),
    ("a.csv", "1\n0\n2\n"),
    ("a.csv", "label\n1\n0\n2\n"),
    ("a.csv", "\ufeffSample, Label, group\r\n2,2,x\r\n0,1,y\r\n1,0,x\r\n"),
]


@pytest.mark.parametrize(
    ("name", "content"), READ, ids=[f"{n}-{i}" for i, (n, _) in enumerate(READ)]
)
def test_labels_are_read(name: str, content: Any, tmp_path: Path) -> None:
    found = read_annotations(write(tmp_path, name, content), "label")
    assert found.class_indices(3, 3) == [1, 0, 2]


def test_subgroups_are_any_words(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "sample,label,group\n0,5,night\n1,5,day\n")
    assert read_annotations(path, "group").of(2) == ["night", "day"]


WRONG = [
    ("a.json", [1, 0], "has a label for 2 samples, the data has 3: none for sample 2"),
    ("a.json", [1, 0, 2, 1], "has a label for 4 samples, the data has 3: there is no sample 3"),
    ("a.json", {"0": 1, "1": 1, "7": 1}, "none for sample 2"),
    ("a.json", {"x": 1}, "sample 'x', which is no number"),
    ("a.json", [1, 0, 3], "the label of sample 2 is '3', wanted is a class from 0 to 2"),
    ("a.json", [1, 0, -1], "the label of sample 2 is '-1'"),
    ("a.json", [1, 0, 1.5], "holds '1.5'"),
    ("a.json", [1, None, 1], "holds 'None'"),
    ("a.json", {"labels": [1, 0, 2], "classes": ["a"]}, "names 1 classes, the model has 3"),
    ("a.json", {"labels": [1, 0, 2], "classes": ["a", "b", "a"]}, "names two classes alike"),
    ("a.json", {"labels": ["x", 0, 2], "classes": ["a", "b", "c"]}, "or one of the 3 names"),
    ("a.json", "[1", "cannot be read as JSON"),
    ("a.json", "3", "holds no list"),
    ("a.json", "[]", "holds no label"),
    ("a.csv", "1,2\n3,4\n", "several columns, and none is called 'label'"),
    ("a.csv", "label,sample\n1,0\n0,0\n", "two entries for sample 0"),
    ("a.csv", "label,sample\n1\n", "1 cells in row 0, and 2 names"),
    ("a.csv", "", "holds no label"),
    ("a.npy", np.array([0.5, 1, 1]), "holds float64 [3]"),
    ("a.npy", np.zeros((3, 10), int), "holds int64 [3, 10]"),
    ("a.npz", {"x": np.zeros(3, int), "y": np.zeros(3, int)}, "holds the arrays x, y"),
    ("a.txt", "1", "is of no known kind"),
]


@pytest.mark.parametrize(("name", "content", "part"), WRONG, ids=[f"{w[0]}: {w[2]}" for w in WRONG])
def test_mistakes(name: str, content: Any, part: str, tmp_path: Path) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(InvalidConfigError) as caught:
        read_annotations(path, "label").class_indices(3, 3)
    assert part in caught.value.message
    assert "a." in caught.value.message
    assert caught.value.hint


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfigError, match="does not exist"):
        read_annotations(tmp_path / "a.csv", "group")

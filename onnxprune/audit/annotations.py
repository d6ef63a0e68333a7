"""Labels and subgroups of samples, from the files that people have."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np

from onnxprune.errors import InvalidConfigError, printable
from onnxprune.io.arrays import open_arrays

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Annotations", "Kind", "read_annotations"]

Kind = Literal["label", "group"]

_HINT: Final = (
    "give .npy or .npz with one entry per sample, .json with a list, or .csv with a column '{kind}'"
)


@dataclass(frozen=True, slots=True)
class Annotations:
    """What a file says of samples.

    Attributes:
        path: the file.
        kind: what it is.
        values: one for each sample, by the sample's number.
        classes: names of the classes by their index, where the file has them.
    """

    path: Path
    kind: Kind
    values: Mapping[int, str]
    classes: tuple[str, ...] = ()

    def of(self, count: int) -> list[str]:
        """Return the value of each sample.

        Args:
            count: number of samples.

        Raises:
            InvalidConfigError: a sample has none, or there is one for a sample that is not there.
        """
        where = f"'{printable(self.path)}'"
        if len(self.values) == count and all(number < count for number in self.values):
            return [self.values[number] for number in range(count)]
        message = f"{where} has a {self.kind} for {len(self.values)} samples, the data has {count}"
        unknown = next((n for n in self.values if n >= count), None)
        missing = next((n for n in range(count) if n not in self.values), None)
        if missing is not None:
            message += f": none for sample {missing}"
        elif unknown is not None:
            message += f": there is no sample {unknown}"
        hint = f"give one {self.kind} for each sample, in the order of the data; numbers begin at 0"
        raise InvalidConfigError(message, hint=hint)

    def class_indices(self, count: int, classes: int) -> list[int]:
        """Return the class of each sample.

        Args:
            count: number of samples.
            classes: number of classes that the model tells apart.

        Raises:
            InvalidConfigError: a label is no class of the model.
        """
        where = f"'{printable(self.path)}'"
        if self.classes and len(self.classes) != classes:
            message = f"{where} names {len(self.classes)} classes, the model has {classes}"
            raise InvalidConfigError(message, hint="list all classes in the order of the output")
        known = {name: index for index, name in enumerate(self.classes)}
        if len(known) < len(self.classes):
            message = f"{where} names two classes alike"
            raise InvalidConfigError(message, hint="give every class a name of its own")
        found = []
        for number, value in enumerate(self.of(count)):
            index = known.get(value, int(value) if value.isascii() and value.isdecimal() else -1)
            if not 0 <= index < classes:
                message = f"{where}: the label of sample {number} is '{printable(value)}', wanted"
                message += f" is a class from 0 to {classes - 1}"
                message += f" or one of the {classes} names" if known else ""
                hint = 'names of classes go into a list "classes" beside the labels, in the order '
                raise InvalidConfigError(message, hint=f"{hint}of the model's output")
            found.append(index)
        return found

    def class_name(self, index: int) -> str:
        """Return how a class is called: its index where it has no name."""
        return self.classes[index] if 0 <= index < len(self.classes) else str(index)


def read_annotations(path: Path, kind: Kind) -> Annotations:
    """Read the labels or the subgroups of samples.

    A `.npy` file holds one array with an entry for each sample; a `.npz` file the same under the
    name of the kind (`label`, `labels`; `group`, `groups`), or as its only array. A `.json` file
    holds a list, or an object with such a key; in place of a list there may be an object from the
    sample's number to its value. A `.csv` file has a heading with a column of such a name, and may
    have a column `sample` with the sample's number; without a heading it has one column. Archives
    and JSON may have names of the classes, in the order of the model's output, under `classes`.

    Args:
        path: the file.
        kind: what is read.

    Raises:
        InvalidConfigError: the file is missing, or holds something else.
    """
    readers = {".npy": _arrays, ".npz": _arrays, ".json": _json, ".csv": _csv}
    reader = readers.get(path.suffix.lower())
    if reader is None or not path.is_file():
        seen = "is of no known kind" if path.exists() else "does not exist"
        raise _bad(path, kind, seen)
    values, classes = reader(path, kind)
    if not values:
        raise _bad(path, kind, f"holds no {kind}")
    return Annotations(path, kind, values, tuple(classes))


def _arrays(path: Path, kind: Kind) -> tuple[dict[int, str], list[str]]:
    stored = open_arrays(path)
    named = [name for name in stored if name in (kind, f"{kind}s")]
    if not named and len(stored) == 1:
        named = list(stored)
    if len(named) != 1:
        raise _bad(path, kind, f"holds the arrays {', '.join(map(printable, stored)) or 'none'}")
    values = _plain(path, kind, stored[named[0]].read())
    classes = _plain(path, kind, stored["classes"].read()) if "classes" in stored else []
    return dict(enumerate(values)), classes


def _plain(path: Path, kind: Kind, array: np.ndarray[Any, np.dtype[Any]]) -> list[str]:
    flat = array.reshape(-1) if array.ndim == 2 and 1 in array.shape else array
    if flat.ndim != 1 or flat.dtype.kind not in "iubUS":
        seen = f"holds {array.dtype} {list(array.shape)}, wanted is one whole number or text per"
        raise _bad(path, kind, f"{seen} sample")
    if flat.dtype.kind == "S":
        flat = np.char.decode(flat, "utf-8", "backslashreplace")
    if flat.dtype.kind == "b":
        flat = flat.astype(np.int64)
    return [str(value) for value in flat]


def _json(path: Path, kind: Kind) -> tuple[dict[int, str], list[str]]:
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _bad(path, kind, f"cannot be read as JSON: {printable(error)}") from None
    classes: Any = []
    if isinstance(content, dict):
        classes = content.get("classes", [])
        [content] = [content[k] for k in (kind, f"{kind}s") if k in content][:1] or [
            {k: v for k, v in content.items() if k != "classes"}
        ]
    if isinstance(content, list):
        content = dict(enumerate(content))
    if not isinstance(content, dict) or not isinstance(classes, list):
        raise _bad(path, kind, "holds no list")
    names = [_text(path, kind, name) for name in classes]
    return {_number(path, kind, k): _text(path, kind, v) for k, v in content.items()}, names


def _csv(path: Path, kind: Kind) -> tuple[dict[int, str], list[str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = [row for row in csv.reader(io.StringIO(text), strict=True) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise _bad(path, kind, f"cannot be read as CSV: {printable(error)}") from None
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((i for i, name in enumerate(heading) if name in (kind, f"{kind}s")), None)
    if column is None and any(len(row) != 1 for row in rows):
        raise _bad(path, kind, f"has several columns, and none is called '{kind}'")
    body = rows if column is None else rows[1:]
    numbered = heading.index("sample") if column is not None and "sample" in heading else None
    values: dict[int, str] = {}
    for line, row in enumerate(body):
        if column is not None and len(row) != len(heading):
            raise _bad(path, kind, f"has {len(row)} cells in row {line}, and {len(heading)} names")
        number = line if numbered is None else _number(path, kind, row[numbered].strip())
        if number in values:
            raise _bad(path, kind, f"has two entries for sample {number}")
        values[number] = row[column or 0].strip()
    return values, []


def _number(path: Path, kind: Kind, key: object) -> int:
    text = str(key)
    if not (text.isascii() and text.isdecimal()):
        raise _bad(path, kind, f"speaks of a sample '{printable(text)}', which is no number")
    return int(text)


def _text(path: Path, kind: Kind, value: object) -> str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    raise _bad(path, kind, f"holds '{printable(value)}', wanted is a whole number or text")


def _bad(path: Path, kind: Kind, seen: str) -> InvalidConfigError:
    message = f"the file of {kind}s '{printable(path)}' {seen}"
    return InvalidConfigError(message, hint=_HINT.format(kind=kind))

"""PP-OCRv4's text line recogniser on rendered lines: character accuracy on 160 lines.

The text is words of Python's own documentation, and numbers and codes; the fonts are those that
ship with matplotlib. Test lines and calibration lines share neither text nor random numbers.
"""

from __future__ import annotations

import pydoc_data.topics
import re
import zlib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from tasks.base import Array, Feed, Run, Task

TEST_LINES = 160
HEIGHT = 48
STYLES = ("Sans", "Sans-Bold", "Sans-Oblique", "SansMono", "SansMono-Bold", "Serif", "Serif-Bold")
CODE_CHARACTERS = "123456789ABCDEFGHJKLMNPQRSTUVWXYZ"


class PpOcr(Task):
    """The recogniser of the package rapidocr-onnxruntime."""

    name = "ppocr-v4-rec"
    metric_name = "character accuracy"
    model_file = "ppocr_v4_rec.onnx"

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Render lines of their own width each."""
        lines = _lines("calibration", n, seed)
        return [{"x": image} for _, image in lines]

    def measure(self, run: Run) -> float:
        """Return one minus the edit distance per character, over all test lines."""
        alphabet = self._alphabet()
        distance = length = 0
        for text, image in _lines("test", TEST_LINES, 0):
            read = _decode(run({"x": image})[0][0], alphabet)
            distance += _edit_distance(read, text)
            length += len(text)
        return 1 - distance / length

    def _alphabet(self) -> list[str]:
        """Return the character of every class: blank, those of the file's metadata, space."""
        model = onnx.load(self.model_path, load_external_data=False)
        [listed] = [p.value for p in model.metadata_props if p.key == "character"]
        return ["", *listed.splitlines(), " "]


def _lines(split: str, n: int, seed: int) -> list[tuple[str, Array]]:
    """Render n lines of text; the same split and seed give the same lines."""
    generator = np.random.default_rng([zlib.crc32(split.encode()), seed])
    words = _words(split)
    texts = [_text(generator, words) for _ in range(n)]
    return [(text, _render(generator, text)) for text in texts]


def _words(split: str) -> list[str]:
    """Return words of the documentation: each belongs either to the test or to calibration."""
    text = "\n".join(pydoc_data.topics.topics.values())
    found = sorted(set(re.findall(r"\b[A-Za-z][a-z]{2,10}\b", text)))
    return [w for w in found if (zlib.crc32(w.encode()) % 2 == 0) == (split == "test")]


def _text(generator: np.random.Generator, words: list[str]) -> str:
    """Make up a line: mostly words, sometimes numbers, amounts, dates and codes."""
    parts: list[str] = []
    for _ in range(int(generator.integers(2, 5))):
        kind = generator.random()
        if kind < 0.7:
            parts.append(words[generator.integers(len(words))])
        elif kind < 0.8:
            parts.append(f"{generator.integers(1, 10**6)}")
        elif kind < 0.87:
            parts.append(f"${generator.integers(1, 2000)}.{generator.integers(100):02}")
        elif kind < 0.94:
            parts.append(f"{generator.integers(1980, 2030)}-{generator.integers(1, 13):02}")
        else:
            parts.append("".join(generator.choice(list(CODE_CHARACTERS), 6)))
    return " ".join(parts)


def _render(generator: np.random.Generator, text: str) -> Array:
    """Draw dark text on a light ground (or the reverse) and scale it as the recogniser wants it."""
    style = STYLES[generator.integers(len(STYLES))]
    file = Path(mpl.get_data_path()) / "fonts" / "ttf" / f"DejaVu{style}.ttf"
    font = ImageFont.truetype(str(file), int(generator.integers(22, 40)))
    left, top, right, bottom = (int(v) for v in font.getbbox(text))
    margin = int(generator.integers(3, 9))
    dark, light = (tuple(generator.integers(*b, 3).tolist()) for b in ((0, 90), (180, 256)))
    ground, ink = (light, dark) if generator.random() < 0.8 else (dark, light)
    size = (right - left + 2 * margin + 4, bottom - top + 2 * margin)
    image = Image.new("RGB", size, ground)
    ImageDraw.Draw(image).text((margin + 2 - left, margin - top), text, fill=ink, font=font)
    if generator.random() < 0.3:
        image = image.filter(ImageFilter.GaussianBlur(float(generator.uniform(0.3, 0.8))))
    image = image.resize((max(48, round(size[0] * HEIGHT / size[1])), HEIGHT), Image.BILINEAR)
    pixels = np.asarray(image, np.float32)[:, :, ::-1]  # (it was trained on BGR)
    noise = generator.normal(0, generator.uniform(0, 8), pixels.shape)
    scaled = (np.clip(pixels + noise, 0, 255) / 255 - 0.5) / 0.5
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None], np.float32)


def _decode(scores: Array, alphabet: list[str]) -> str:
    """Read the best path: repeated classes count once, blanks separate."""
    best = scores.argmax(1)
    starts = np.flatnonzero(np.diff(best, prepend=-1))
    return "".join(alphabet[best[i]] for i in starts).strip()  # margins are read as spaces


def _edit_distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        above, row = row, [i]
        for j, b in enumerate(second, 1):
            row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (a != b)))
    return row[-1]

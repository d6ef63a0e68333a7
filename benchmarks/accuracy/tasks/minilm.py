"""MiniLM sentence embeddings: Spearman's rank correlation of similarities with the unpruned model.

The sentences are news of the Lee corpora in gensim. The 50 documents of the smaller one are the
test: the similarities of all pairs of its sentences. Calibration takes from the other 300.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.stats import spearmanr

from tasks.base import Array, Feed, Run, Task, runner
from tasks.packages import read_package

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE = "gensim==4.3.3"
FOLDER = "gensim/test/test_data"
END = re.compile(r"(?<=[.!?]) (?=[A-Z\"])")
PIECES = re.compile(r"\w+|[^\w\s]")
FEWEST_WORDS = 5
MOST_TOKENS = 64


class MiniLm(Task):
    """The network that `benchmarks/convert_models.py` exports."""

    name = "minilm"
    metric_name = "Spearman correlation of sentence similarities with the unpruned model"
    model_file = "minilm.onnx"
    targets = ("ratio=0.1", "ratio=0.3", "ratio=0.5", "ratio=0.7")
    options: ClassVar = {"only": ["layers.*.up.bias"]}  # the units of the MLPs

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Draw sentences, each of its own length."""
        sentences = self._sentences["lee_background.cor"]
        chosen = np.random.default_rng(seed).permutation(len(sentences))[:n]
        return [self._tokenize(sentences[i]) for i in chosen]

    def measure(self, run: Run) -> float:
        """Return the correlation over all pairs of test sentences."""
        return float(spearmanr(self._similarities(run), self._wanted).statistic)

    def _similarities(self, run: Run) -> Array:
        feeds = [self._tokenize(s) for s in self._sentences["lee.cor"]]
        vectors = np.concatenate([run(feed)[1] for feed in feeds]).astype(np.float64)
        # Pruning may leave something else than unit vectors.
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-12
        return (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)]

    @cached_property
    def _wanted(self) -> Array:
        return self._similarities(runner(self.model_path))

    @cached_property
    def _sentences(self) -> dict[str, list[str]]:
        return read_sentences(self.cache)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        text = (self.data / "minilm_tokenizer.json").read_text(encoding="utf-8")
        vocabulary: dict[str, int] = json.loads(text)["model"]["vocab"]
        return vocabulary

    def _tokenize(self, sentence: str) -> Feed:
        """Cut into word pieces as BERT's uncased vocabulary wants it: the longest first."""
        plain = unicodedata.normalize("NFD", sentence.lower())
        plain = "".join(c for c in plain if unicodedata.category(c) != "Mn")
        words = PIECES.findall(plain.replace("_", " _ "))
        tokens = [token for word in words for token in self._pieces(word)][: MOST_TOKENS - 2]
        ids = np.array([[self._vocabulary["[CLS]"], *tokens, self._vocabulary["[SEP]"]]], np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def _pieces(self, word: str) -> list[int]:
        found = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(len(word), start, -1):
                piece = self._vocabulary.get(prefix + word[start:end])
                if piece is not None:
                    found.append(piece)
                    start = end
                    break
            else:
                return [self._vocabulary["[UNK]"]]
        return found


def read_sentences(cache: Path) -> dict[str, list[str]]:
    """Return the sentences of both corpora, by file name."""
    path = cache / "sentences.json"
    if not path.is_file():
        wanted = {f"{FOLDER}/{name}": name for name in ("lee.cor", "lee_background.cor")}
        found = {
            wanted[member]: _split(data.decode("latin-1"))
            for member, data in read_package("pip", PACKAGE, cache)
            if member in wanted
        }
        path.write_text(json.dumps(found), encoding="utf-8")
    sentences: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
    return sentences


def _split(text: str) -> list[str]:
    """Return the different sentences of some words' length, in order."""
    sentences = (s for line in text.splitlines() for s in END.split(line))
    return list(dict.fromkeys(s for s in sentences if len(s.split()) >= FEWEST_WORDS))

"""Silero's voice activity detectors: accuracy over frames of synthetic speech in noise.

The sentences are those of the `minilm` task. Test and calibration share neither sentences nor
voices.
"""

from __future__ import annotations

import zlib
from functools import cached_property
from typing import ClassVar

import numpy as np

from tasks.base import Array, Feed, Run, Task, partial, runner
from tasks.minilm import read_sentences
from tasks.speech import CLIP_FRAMES, RATE, make_clip

TEST_CLIPS = 40
CALIBRATION_CLIPS = 64
VOICES = {
    "calibration": ["en-us+m1", "en-us+f2", "en-gb+m3", "en-gb-scotland+f4", "en-us+m7"],
    "test": ["en-us+m2", "en-gb+f1", "en-us+f3", "en-gb-x-rp+m4", "en-029+f5"],
}
CORPORA = {"calibration": "lee_background.cor", "test": "lee.cor"}


class _Silero(Task):
    """What both detectors share: clips of frames, each with 64 samples of the one before."""

    metric_name = "frame accuracy"

    def measure(self, run: Run) -> float:
        """Return the share of frames that are on the right side of one half."""
        frames, speech = self._clips["test"]
        seen = np.stack([self.probabilities(run, clip) for clip in frames])
        return float(((seen > 0.5) == speech).mean())

    def probabilities(self, run: Run, clip: Array) -> Array:
        """Return the probability of speech in every frame of a clip."""
        raise NotImplementedError

    @cached_property
    def _clips(self) -> dict[str, tuple[Array, Array]]:
        path = self.cache / "speech.npz"
        if not path.is_file():
            arrays = {}
            for split, count in (("calibration", CALIBRATION_CLIPS), ("test", TEST_CLIPS)):
                sentences = read_sentences(self.cache)[CORPORA[split]]
                generator = np.random.default_rng(zlib.crc32(split.encode()))
                clips = [make_clip(generator, sentences, VOICES[split]) for _ in range(count)]
                arrays[split] = np.stack([frames for frames, _ in clips])
                arrays[f"{split}_speech"] = np.stack([speech for _, speech in clips])
            np.savez(partial(path), **arrays)
            partial(path).replace(path)
        with np.load(path) as loaded:
            return {split: (loaded[split], loaded[f"{split}_speech"]) for split in VOICES}


class SileroSequence(_Silero):
    """The detector that takes all frames of a clip at once (package faster-whisper)."""

    name = "silero-vad-seq"
    model_file = "silero_vad_seq.onnx"
    _zeros: ClassVar[Feed] = {k: np.zeros((1, 1, 128), np.float32) for k in "hc"}

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Take pieces of the calibration clips, 32 frames (a second) each."""
        generator = np.random.default_rng(seed)
        clips = self._clips["calibration"][0]
        pieces = []
        for number in range(n):
            start = int(generator.integers(CLIP_FRAMES - 31))
            pieces.append({"input": clips[number % len(clips), start : start + 32], **self._zeros})
        return pieces

    def probabilities(self, run: Run, clip: Array) -> Array:
        """Return the probability of speech in every frame of a clip."""
        return run({"input": clip, **self._zeros})[0].reshape(-1)


class SileroStream(_Silero):
    """The detector that takes one frame and its own state (package silero-vad)."""

    name = "silero-vad"
    model_file = "silero_vad_v6.onnx"
    _rate: ClassVar[Array] = np.array(RATE, np.int64)

    def calibration(self, n: int, seed: int = 0) -> list[Feed]:
        """Take frames of the calibration clips, with the state the unpruned model is in there."""
        generator = np.random.default_rng(seed)
        clips = self._clips["calibration"][0]
        run = runner(self.model_path)
        feeds = []
        for number in range(n):
            state = np.zeros((2, 1, 128), np.float32)
            start, before = int(generator.integers(32, CLIP_FRAMES)), 32
            for frame in clips[number % len(clips), start - before : start]:
                feed = {"input": frame[None], "state": state, "sr": self._rate}
                _, state = run(feed)
            feeds.append(feed)
        return feeds

    def probabilities(self, run: Run, clip: Array) -> Array:
        """Return the probability of speech in every frame of a clip."""
        state = np.zeros((2, 1, 128), np.float32)
        found = []
        for frame in clip:
            value, state = run({"input": frame[None], "state": state, "sr": self._rate})
            found.append(float(value.reshape(-1)[0]))
        return np.array(found)

"""Silero's voice activity detectors: accuracy over frames of synthetic speech in noise.

espeak-ng speaks sentences of MiniLM's news between pauses, at signal-to-noise ratios from 0 to
20 dB. A frame's truth is the energy of its clean speech. Test and calibration share neither
sentences nor voices.
"""

from __future__ import annotations

import io
import subprocess
import wave
import zlib
from functools import cached_property
from typing import ClassVar

import numpy as np
from scipy.signal import lfilter, resample_poly

from tasks.base import Array, Feed, Run, Task, partial, runner
from tasks.minilm import read_sentences

RATE, FRAME, CONTEXT = 16000, 512, 64
TEST_CLIPS = 40
CALIBRATION_CLIPS = 64
CLIP_FRAMES = 156  # (5 s)
SPEECH_DB = -35  # A frame this far below the loudest one is silence.
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
                clips = [_clip(generator, sentences, VOICES[split]) for _ in range(count)]
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


def _clip(
    generator: np.random.Generator, sentences: list[str], voices: list[str]
) -> tuple[Array, Array]:
    """Return frames with noise, and which of them hold speech."""
    clean = np.zeros(CLIP_FRAMES * FRAME)
    at = int(generator.integers(RATE // 2, RATE * 3 // 2))
    while at < len(clean) - RATE:
        spoken = _speak(
            " ".join(sentences[generator.integers(len(sentences))].split()[:6]),
            voices[generator.integers(len(voices))],
            int(generator.integers(130, 200)),
        )[: len(clean) - at]
        clean[at : at + len(spoken)] = spoken
        at += len(spoken) + int(generator.integers(RATE // 2, RATE * 2))
    energy = (clean.reshape(-1, FRAME) ** 2).mean(1)
    speech = energy > energy.max() * 10 ** (SPEECH_DB / 10)
    # A single pole between white and brown noise.
    noise = lfilter([1], [1, -generator.uniform(0, 0.98)], generator.standard_normal(len(clean)))
    ratio = generator.uniform(0, 20)
    noise *= np.sqrt(energy[speech].mean() / (noise**2).mean()) / 10 ** (ratio / 20)
    mixed = clean + noise
    mixed *= generator.uniform(0.2, 0.8) / np.abs(mixed).max()
    padded = np.concatenate([np.zeros(CONTEXT), mixed]).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + FRAME)[::FRAME]
    return windows.copy(), speech


def _speak(text: str, voice: str, words_per_minute: int) -> Array:
    command = ["espeak-ng", "-v", voice, "-s", str(words_per_minute), "--stdout", "--stdin"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    with wave.open(io.BytesIO(done.stdout)) as sound:
        # (The header's number of frames is a dummy when espeak-ng writes to a pipe.)
        rate, raw = sound.getframerate(), sound.readframes(60 * sound.getframerate())
    samples = np.frombuffer(raw[: len(raw) // 2 * 2], np.int16) / 32768
    return np.asarray(resample_poly(samples, RATE, rate))

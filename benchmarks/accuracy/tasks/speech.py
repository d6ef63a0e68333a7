"""Clips of synthetic speech with pauses, in noise, cut into frames as voice detectors take them.

espeak-ng speaks; the noise is somewhere between white and brown, at signal-to-noise ratios from 0
to 20 dB. Whether a frame is speech is told by the energy of the clean signal.
"""

from __future__ import annotations

import io
import subprocess
import wave
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import lfilter, resample_poly

if TYPE_CHECKING:
    from tasks.base import Array

RATE, FRAME, CONTEXT = 16000, 512, 64
CLIP_FRAMES = 156  # (5 s)
SPEECH_DB = -35  # A frame this far below the loudest one is silence.


def make_clip(
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

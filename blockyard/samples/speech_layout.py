"""Writes spoken words in exactly Speech Commands' published layout: names, lists, background noise."""

from __future__ import annotations

import hashlib
import wave
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.audio.speech_commands_rules import speaker_split

RATE = 16_000
NOISE = "_background_noise_"
LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
TURN = ("val", "test", *["train"] * 8)
"""Splits of ten speakers in a row."""


def write_lists(folder: Path) -> None:
    """Write the two lists of a tree, by the published rule."""
    clips = sorted(f"{path.parent.name}/{path.name}" for path in folder.glob("*/*_nohash_*.wav"))
    for split, name in LISTS.items():
        listed = [clip for clip in clips if speaker_split(clip.rpartition("/")[2]) == split]
        (folder / name).write_text("".join(f"{clip}\n" for clip in listed))


def speaker_name(number: int, seed: int) -> str:
    """Eight hexadecimal digits for a speaker, numbered from 0.

    The published rule decides the split by the name alone; names are chosen so that of ten speakers in a row the first
    is in validation and the second in the test.
    """
    names = (hashlib.sha1(f"{seed} {number} {attempt}".encode()).hexdigest()[:8] for attempt in count())
    return next(name for name in names if speaker_split(f"{name}_nohash_0.wav") == TURN[number % 10])


def write_wav(path: Path, waveform: NDArray[np.floating[Any]], rate: int = RATE) -> None:
    """Write ``(n,)`` or ``(n, channels)``, full scale ±1, with 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if waveform.ndim == 1 else waveform.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.round(waveform.clip(-1, 1) * 32767).astype("<i2").tobytes())

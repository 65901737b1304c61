"""Order: a digit that moves across a photograph: which way does it go?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import (
    SIDE,
    Array,
    Random,
    draw_digit,
    photographs,
    save_labelled,
    to_pixels,
    write_samples,
)
from blockyard.samples.photographs import crop
from blockyard.samples.ucf_layout import Frames, write_avi

CANVAS, FRAMES, FPS = 24, 4, 8
STEP = 3
"""Pixels from frame to frame."""
CLASSES = ("leftwards", "rightwards")
SAMPLES = {"train": 300, "val": 25, "test": 150}
"""Pairs of a clip and the same backwards."""


def write_order(root: Path, samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write clips of 4 frames of a real digit before a still photograph, and the same clips backwards.

    Every frame is a key frame, so that a frame is the same in both.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    write_samples(root, {"generator": "order", "seed": seed}, samples, _write)


def _write(folder: Path, split: str, name: str, random: Random) -> None:
    save_labelled(folder / split, name, _draw(split, random), ".avi", partial(write_avi, fps=FPS, keyframe_every=1))


def _draw(split: str, random: Random) -> Iterator[tuple[str, Frames]]:
    photograph = photographs(split)[int(random.integers(len(photographs(split))))]
    ground = 0.6 * crop(random, photograph, (CANVAS, CANVAS)).astype(np.float32)
    digit = draw_digit(random, split)
    top = int(random.integers(CANVAS - SIDE + 1))
    first = int(random.integers(CANVAS - SIDE - STEP * (FRAMES - 1) + 1))
    shown = [_frame(ground, digit.strokes, top, first + STEP * time) for time in range(FRAMES)]
    frames = np.stack([to_pixels(frame) for frame in shown])
    yield CLASSES[1], frames
    yield CLASSES[0], frames[::-1]


def _frame(ground: Array, strokes: Array, top: int, left: int) -> Array:
    frame = ground.copy()
    part = frame[top : top + SIDE, left : left + SIDE]
    part += strokes[..., None] * (255 - part)
    return frame

"""Order: a digit that moves across a photograph: which way does it go?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from blockyard.samples.diagnostics.material import SIDE, Array, Digits14, Random, to_pixels, write_folders
from blockyard.samples.photographs import crop, read_photographs
from blockyard.samples.ucf_layout import Frames, write_avi

CANVAS, FRAMES, FPS = 24, 4, 8
STEP = 3
"""Pixels from frame to frame."""
CLASSES = ("leftwards", "rightwards")


def write_order(root: Path, train: int = 300, val: int = 25, test: int = 150, seed: int = 0) -> None:
    """Write clips of 4 frames of a real digit before a still photograph, and the same clips backwards.

    Every frame is a key frame, so that a frame is the same in both. ``train``, ``val`` and ``test`` count pairs.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_folders`.
    """
    counts = {"train": train, "val": val, "test": test}
    write_folders(root, {"generator": "order", "seed": seed}, counts, _drawing, _save, ".avi")


def _save(path: Path, frames: Frames) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_avi(path, frames, FPS, keyframe_every=1)


def _drawing(split: str) -> Callable[[Random], Iterator[tuple[str, Frames]]]:
    return partial(_draw, Digits14(split), read_photographs())


def _draw(digits: Digits14, photographs: list[Frames], random: Random) -> Iterator[tuple[str, Frames]]:
    photograph = photographs[int(random.integers(len(photographs)))]
    ground = 0.6 * crop(random, photograph, (CANVAS, CANVAS)).astype(np.float32)
    digit = digits.draw(random)
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

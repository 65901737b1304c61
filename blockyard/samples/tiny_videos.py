"""Shapes that move, in UCF-101's layout: small, made in a second, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import nearest
from blockyard.samples.ucf_layout import Frames, Video, new_data_set, plan_videos, write_avi

Array = NDArray[np.float64]

MOTIONS = {
    "MoveLeft": lambda t: (-t, 0, 0, 0),
    "MoveRight": lambda t: (t, 0, 0, 0),
    "Grow": lambda t: (0, 0, t, 0),
    "Shrink": lambda t: (0, 0, -t, 0),
    "MoveUp": lambda t: (0, -t, 0, 0),
    "MoveDown": lambda t: (0, t, 0, 0),
    "TurnLeft": lambda t: (0, 0, 0, -t),
    "TurnRight": lambda t: (0, 0, 0, t),
    "HandstandPushups": lambda t: (0, np.sin(3 * np.pi * t), 0, 0),
}
"""Classes: from the time, -1 to 1, to shifts right and down, growth and turn, each -1 to 1.

``HandstandPushups`` is there because UCF-101 spells the files of that class otherwise than its folder.
"""


def write_tiny_videos(
    root: str | Path,
    classes: Sequence[str] = ("MoveLeft", "MoveRight", "Grow", "Shrink"),
    videos_per_class: int = 10,
    size: tuple[int, int] = (48, 48),
    frames: tuple[int, int] = (16, 24),
    seed: int = 0,
) -> Path:
    """Write videos of coloured shapes whose motion alone names the class.

    Of the same group and number, the videos of all classes show the same shape on the same ground: ``MoveLeft`` is
    ``MoveRight`` played backwards, and no single frame tells them apart.

    Args:
        root: Folder to write ``UCF-101`` and ``ucfTrainTestlist`` into; new or empty.
        classes: Some of :data:`MOTIONS`.
        videos_per_class: Videos of each class, spread over the 25 groups.
        size: Height and width in pixels, even numbers.
        frames: Fewest and most frames of a video, at 25 fps.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If an argument is out of range.
        DataError: If ``root`` holds something else.
    """
    for name in classes:
        if name not in MOTIONS:
            raise ValueError(f"no class {name}; {nearest(name, MOTIONS)}")
    if min(size) < 16 or any(side % 2 for side in size):
        raise ValueError(f"size must be two even numbers of 16 and more, got {size}")
    if not 1 <= frames[0] <= frames[1]:
        raise ValueError(f"frames must be the fewest and the most, got {frames}")
    videos = plan_videos(classes, videos_per_class)
    recipe = {"generator": "tiny_videos", "classes": list(classes), "videos_per_class": videos_per_class}
    with new_data_set(Path(root), videos, recipe | {"size": size, "frames": frames, "seed": seed}) as folder:
        if folder is not None:
            for video in videos:
                write_avi(folder / video.path, draw_video(video, size, frames, seed))
    return Path(root)


def draw_video(video: Video, size: tuple[int, int], frames: tuple[int, int], seed: int) -> Frames:
    """Draw one video, ``(T, H, W, 3)``; colours belong to the group, place and length to the video."""
    group = np.random.default_rng([seed, video.group])
    ground = _ground(group, size)
    colour = _contrast(group, ground)
    random = np.random.default_rng([seed, video.group, video.number])
    corners = _shape(random)
    centre = np.array(size[::-1]) * random.uniform(0.4, 0.6, size=2)
    angle = random.uniform(0, 2 * np.pi)
    drawn = []
    for time in np.linspace(-1, 1, random.integers(frames[0], frames[1] + 1)):
        right, down, growth, turn = MOTIONS[video.action](time)
        place = centre + np.array([right, down]) * min(size) * 0.22
        scale = min(size) * 0.18 * 1.8**growth
        drawn.append(_draw(ground, colour, place + scale * corners @ _rotation(angle + turn * np.pi / 2)))
    return np.stack(drawn)


def _ground(random: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Clouds of two colours."""
    coarse = random.uniform(0, 255, size=(4, 4, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.uint8)


def _contrast(random: np.random.Generator, ground: NDArray[np.uint8]) -> list[int]:
    """Black or white with a tint, whichever is further from the ground."""
    tint = random.integers(0, 60, size=3)
    return (tint if ground.mean() > 127 else 255 - tint).tolist()


def _shape(random: np.random.Generator) -> Array:
    """Corners ``(N, 2)`` of a triangle, a bar or a kite: none looks the same after less than a third of a turn."""
    shapes = ([(-1, -0.6), (1.2, 0), (-1, 0.6)], [(-1.2, -0.4), (1.2, -0.4), (1.2, 0.4), (-1.2, 0.4)])
    kite = [(-1.2, 0), (0.3, -0.7), (0.9, 0), (0.3, 0.7)]
    return np.array((*shapes, kite)[random.integers(3)], dtype=np.float64)


def _rotation(angle: float) -> Array:
    """Turns row vectors clockwise as the picture is seen, y pointing down."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def _draw(ground: NDArray[np.uint8], colour: list[int], corners: Array) -> NDArray[np.uint8]:
    fractional_bits = 4
    points = np.round(corners * 2**fractional_bits).astype(np.int32)
    return np.asarray(cv2.fillPoly(ground.copy(), [points], colour, cv2.LINE_AA, fractional_bits), dtype=np.uint8)

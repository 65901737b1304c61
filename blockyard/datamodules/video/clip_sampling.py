"""Which frames make a clip: pure functions of the number of frames, their rate, the options and a generator.

A video shorter than the clip is *looped*: after its last frame comes its first again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class ClipShape:
    """How a clip is laid over a video.

    Args:
        frames: Frames T of a clip.
        stride: Frames from one to the next.
        fps: Rate at which ``stride`` counts, in frames a second: a video of another rate is stepped through so that a
            clip lasts equally long. None counts in the frames of each video.
        sampling: ``dense`` takes T frames in a row, ``segments`` one from each of T equal parts of the whole video
            (temporal segment networks, Wang et al., ECCV 2016), where ``stride`` and ``fps`` have no meaning.

    Raises:
        ValueError: If a number is out of range or the sampling unknown.
    """

    frames: int = 16
    stride: int = 2
    fps: float | None = None
    sampling: Literal["dense", "segments"] = "dense"

    def __post_init__(self) -> None:
        if self.frames < 1 or self.stride < 1 or (self.fps is not None and not self.fps > 0):
            raise ValueError(f"frames={self.frames}, stride={self.stride} and fps={self.fps} must be positive")
        if self.sampling not in ("dense", "segments"):
            raise ValueError(f"sampling={self.sampling!r}; allowed: dense, segments")

    def step(self, fps: float) -> float:
        """Frames from one of the clip to the next, in a video of that rate; not always a whole number."""
        return self.stride if self.fps is None else self.stride * fps / self.fps


def random_clip(frames: int, fps: float, shape: ClipShape, rng: np.random.Generator) -> Indices:
    """One clip at a random place, as frame numbers ``(T,)``.

    Every start that keeps the clip within the video is equally likely; of segments, every frame of each.

    Args:
        frames: Frames of the video.
        fps: Frames a second of the video.
        shape: How the clip is laid.
        rng: Where the randomness comes from.
    """
    if shape.sampling == "segments":
        return _in_segments(frames, shape.frames, rng.random(shape.frames))
    return _dense(frames, fps, shape, rng.integers(_starts(frames, fps, shape), size=1))[0]


def uniform_clips(frames: int, fps: float, shape: ClipShape, clips: int) -> Indices:
    """Clips spread evenly from the first frame to the last, as frame numbers ``(clips, T)``; one is in the middle.

    Args:
        frames: Frames of the video.
        fps: Frames a second of the video.
        shape: How the clips are laid.
        clips: How many.
    """
    if shape.sampling == "segments":
        places = (np.arange(clips) + 0.5) / clips
        return np.stack([_in_segments(frames, shape.frames, place) for place in places])
    last = _starts(frames, fps, shape) - 1
    starts = np.array([last // 2]) if clips == 1 else np.round(np.linspace(0, last, clips)).astype(np.int64)
    return _dense(frames, fps, shape, starts)


def _starts(frames: int, fps: float, shape: ClipShape) -> int:
    """Number of frames at which a clip can start and stay within the video; one if it is too short for any."""
    return max(1, frames - int(_offsets(fps, shape)[-1]))


def _dense(frames: int, fps: float, shape: ClipShape, starts: NDArray[np.integer[Any]]) -> Indices:
    return (starts[:, None] + _offsets(fps, shape)) % frames


def _offsets(fps: float, shape: ClipShape) -> Indices:
    # A step such as 2 · 29.97 / 29.97 must not round down to the frame before.
    return np.floor(np.arange(shape.frames) * shape.step(fps) + 1e-6).astype(np.int64)


def _in_segments(frames: int, segments: int, place: NDArray[np.float64] | float) -> Indices:
    """One frame of each segment, at ``place`` in [0, 1) of it; neighbours share frames where there are too few."""
    return np.floor((np.arange(segments) + place) * (frames / segments)).astype(np.int64).clip(0, frames - 1)

"""Which frames of a tracklet make a clip: pure functions of its length, the options and a generator.

A tracklet too short for a clip *repeats its last frame*, as is the custom of video re-identification.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def random_clip(length: int, frames: int, stride: int, rng: np.random.Generator) -> Indices:
    """Frames ``(T,)`` at every ``stride``-th, from a random start; a short tracklet is stepped through more finely.

    Args:
        length: Frames of the tracklet.
        frames: Frames T of a clip.
        stride: Frames from one of the clip to the next.
        rng: Where the randomness comes from.
    """
    step = max(1, min(stride, (length - 1) // max(1, frames - 1)))
    start = rng.integers(max(1, length - (frames - 1) * step))
    return (start + step * np.arange(frames)).clip(max=length - 1)


def random_in_chunks(length: int, frames: int, rng: np.random.Generator) -> Indices:
    """Frames ``(T,)``, a random one of each of T equal chunks: restricted random sampling (Li et al., CVPR 2018)."""
    if length < frames:
        return _padded(np.arange(length), frames)
    edges = _edges(length, frames)
    return rng.integers(edges[:-1], edges[1:])


def first_of_chunks(length: int, frames: int) -> Indices:
    """The one clip ``(1, T)`` of the first frame of each of T equal chunks."""
    return (_padded(np.arange(length), frames) if length < frames else _edges(length, frames)[:-1])[None]


def evenly(length: int, frames: int) -> Indices:
    """The one clip ``(1, T)`` at equal whole distances from the first frame on; the rest is cut off."""
    return (_padded(np.arange(length), frames) if length < frames else np.arange(frames) * (length // frames))[None]


def dense_clips(length: int, frames: int, stride: int) -> Indices:
    """All clips ``(n, T)``: together they hold every frame, once but for the last one repeated in short clips.

    Parts of ``T * stride`` frames are cut off, and each is divided into ``stride`` clips that interleave; the last part
    into as many as it has frames for.
    """
    clips: list[NDArray[Any]] = []
    for start in range(0, length, frames * stride):
        part = np.arange(start, min(start + frames * stride, length))
        step = -(-len(part) // frames)
        clips += [_padded(part[offset::step], frames) for offset in range(step)]
    return np.stack(clips)


def _edges(length: int, frames: int) -> Indices:
    return np.arange(frames + 1) * length // frames


def _padded(indices: Indices, frames: int) -> Indices:
    return np.pad(indices, (0, frames - len(indices)), mode="edge")

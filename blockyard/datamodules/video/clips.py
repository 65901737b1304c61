"""Splits of videos: clips of them, cropped, augmented, and what to do about files that can't be decoded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules.loading import Batch, Column, Split
from blockyard.datamodules.video.clip_sampling import ClipShape, random_clip, uniform_clips
from blockyard.media.decoding import Backend, DecodingError, Frames, Video
from blockyard.mistakes import DataError

REPLACEMENTS = 10
"""Videos tried in place of a damaged one before training stops."""


class Clips(Split):
    """Clips of the videos of one split, with labels or without.

    Sample ``index`` is view ``index % views`` of video ``index // views``, and ``names`` has one name a *video*. A view
    is a clip and a crop of it, the crops of a clip coming one after the other. In training there is one view, drawn at
    random; a video that can't be decoded gives way to another of the split, a function of (seed, epoch, index), and the
    sample is marked ``replaced``. Elsewhere it stays, as zeros marked not ``valid``.

    Args:
        paths: The files.
        targets: Labels ``(n,)``, or None for prediction.
        names: One name a video.
        shape: How clips are laid.
        transform: albumentations pipeline; in training it ends in frames of one size, elsewhere the short side of a
            frame is at least ``size`` after it.
        size: Height and width of a view.
        training: Whether clips are random.
        clips: Clips of a video, spread evenly; not in training.
        crops: 1, in the middle, or 3 along the long side; not in training.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
    """

    backend: Backend | None = None
    """Library that decodes; None takes torchcodec where it works, else PyAV. The pixels are the same."""

    def __init__(
        self,
        paths: Sequence[Path],
        targets: NDArray[np.integer[Any]] | None,
        names: Sequence[str],
        shape: ClipShape,
        transform: A.Compose | None,
        size: int,
        training: bool,
        clips: int,
        crops: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        self.paths = paths
        self.targets = targets
        self.names = names
        self.shape = shape
        self.transform = transform
        self.size = size
        self.training = training
        self.clips, self.crops = (1, 1) if training else (clips, crops)
        self.views = self.clips * self.crops
        self.scale = 1 / (255 * torch.tensor(std).view(-1, 1, 1, 1))
        self.shift = -torch.tensor(mean).view(-1, 1, 1, 1) / torch.tensor(std).view(-1, 1, 1, 1)
        self._last: tuple[int, Frames | None] = (-1, None)

    def __len__(self) -> int:
        return len(self.paths) * self.views

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(T, size, size, 3)``, ``valid``, ``target`` if there are labels, in training ``replaced``.

        Raises:
            DataError: If in training one damaged video after the other turns up.
        """
        if self.training:
            video, pixels = self._random(index)
            sample: dict[str, Any] = {"input": pixels, "valid": True, "replaced": video != index}
        else:
            video, view = divmod(index, self.views)
            clip, crop = divmod(view, self.crops)
            shown = self._uniform(video, clip)
            blank = np.zeros((self.shape.frames, self.size, self.size, 3), np.uint8)
            pixels = blank if shown is None else crop_frames(shown, self.size, crop, self.crops)
            sample = {"input": pixels, "valid": shown is not None}
        if self.targets is not None:
            sample["target"] = int(self.targets[video])
        return sample

    def described(self) -> Iterator[Column]:
        """Labels."""
        if self.targets is not None:
            yield self.targets

    def over(self, other: Split) -> Clips:
        """The videos of another split, in the views of this one."""
        assert isinstance(other, Clips)
        plain = copy(self)
        plain.paths, plain.targets, plain.names = other.paths, other.targets, other.names
        plain._last = (-1, None)
        return plain

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack to float ``(B, 3, T, size, size)`` and normalise."""
        # Stacked by torch, which in a worker process puts the batch straight into the memory that it shares.
        batch = super().collate([sample | {"input": self._normalise(sample["input"])} for sample in samples])
        batch["input"][~batch["valid"]] = 0
        return batch

    def _normalise(self, pixels: Frames) -> Tensor:
        """uint8 ``(T, H, W, 3)`` to float ``(3, T, H, W)``; OpenCV takes channels apart faster than a strided copy."""
        frames, height, width, _ = pixels.shape
        planes = np.stack(cv2.split(pixels.reshape(frames * height, width, 3)))
        channels = torch.from_numpy(planes.reshape(3, frames, height, width))
        return channels.to(torch.float32).mul_(self.scale).add_(self.shift)

    def files(self, position: int) -> Sequence[Path]:
        """The video."""
        return [self.paths[position]]

    def problem(self, position: int) -> str | None:
        """What is wrong with a video, decoding all of it."""
        try:
            with Video(self.paths[position], backend="pyav") as video:
                corrupt = video.corrupt_frames()
        except DecodingError as error:
            return str(error)
        return f"{self.paths[position]}: {corrupt} of {video.frames} frames are damaged" if corrupt else None

    def _random(self, index: int) -> tuple[int, Frames]:
        """A random clip of a video, or else of another one; and the position of that video."""
        rng = np.random.default_rng(random.getrandbits(64))
        position = index
        for _ in range(REPLACEMENTS):
            try:
                with Video(self.paths[position], self.backend) as video:
                    frames = video.read(random_clip(video.frames, video.fps, self.shape, rng))
                return position, self._apply(frames)
            except DecodingError as error:
                last, position = error, int(rng.integers(len(self.paths)))
        raise DataError(f"{REPLACEMENTS} videos one after the other can't be decoded; the last one: {last}") from last

    def _uniform(self, position: int, clip: int) -> Frames | None:
        """A clip before it is cropped; None if it can't be decoded. Kept for the next view, which often shares it."""
        key = position * self.clips + clip
        if self._last[0] != key:
            try:
                with Video(self.paths[position], self.backend) as video:
                    frames = video.read(uniform_clips(video.frames, video.fps, self.shape, self.clips)[clip])
                self._last = key, self._apply(frames)
            except DecodingError:
                self._last = key, None
        return self._last[1]

    def _apply(self, frames: Frames) -> Frames:
        return frames if self.transform is None else self.transform(images=frames)["images"]


def crop_frames(frames: Frames, size: int, crop: int, crops: int) -> Frames:
    """Square ``(T, size, size, 3)`` of a clip ``(T, H, W, 3)``: crop number ``crop`` of ``crops``.

    One crop is in the middle; several are spread over the long side, from end to end.
    """
    height, width = frames.shape[1:3]
    place = 0.5 if crops == 1 else crop / (crops - 1)
    down, right = (place, 0.5) if height > width else (0.5, place)
    top, left = round((height - size) * down), round((width - size) * right)
    return frames[:, top : top + size, left : left + size]

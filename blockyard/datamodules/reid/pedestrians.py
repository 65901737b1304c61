"""Splits of pictures and tracklets of people: what is read of them, and who is asked for and searched."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from blockyard.datamodules.images import ImageFiles, Pixels, damaged_file
from blockyard.datamodules.loading import Batch, Column, Split, empty_batch
from blockyard.datamodules.reid.sightings import ONE_CAMERA, Retrieval, Sightings
from blockyard.datamodules.reid.tracklet_sampling import Indices
from blockyard.media.picture_checks import peculiarity
from blockyard.mistakes import DataError

Size = tuple[int, int]
RandomClip = Callable[..., Indices]
"""Frames ``(T,)`` to train on, from the length of a tracklet and a generator called ``rng``."""
Clips = Callable[[int], Indices]
"""Frames ``(clips, T)`` to test on, from the length of a tracklet."""


class Pedestrians(Split):
    """What training and testing splits share: files, decoded to frames of one size, and batches of them.

    ``input`` is float ``(B, 3, H, W)`` of pictures and ``(B, 3, T, H, W)`` of clips.

    Args:
        sightings: Who was seen where; ``names`` has one name each.
        size: Height and width of the frames.
        transform: albumentations pipeline for frames of that size, the same for all of a clip.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        tracklets: Whether inputs have a time axis.
        bits: How many bits the values of files of more than 8 bits have; None means as many as the file has.
    """

    def __init__(
        self,
        sightings: Sightings,
        size: Size,
        transform: A.Compose | None,
        mean: Sequence[float],
        std: Sequence[float],
        tracklets: bool,
        bits: int | None = None,
    ) -> None:
        self.bits = bits
        self.sightings = sightings
        self.names = sightings.names
        self.size = size
        self.transform = transform
        self.tracklets = tracklets
        self.scale = 1 / (255 * torch.tensor(std).view(-1, 1, 1, 1))
        self.shift = -torch.tensor(mean).view(-1, 1, 1, 1) / torch.tensor(std).view(-1, 1, 1, 1)

    @property
    def cameras(self) -> NDArray[np.integer[Any]]:
        """Camera of each sighting ``(n,)``, from 0."""
        return self.sightings.cameras

    def read(self, position: int, frames: Sequence[int] | Indices) -> Pixels:
        """Frames ``(T, H, W, 3)`` of a sighting.

        Args:
            position: Which sighting.
            frames: Which of its frames.

        Raises:
            DataError: If a file is missing or damaged.
        """
        files = self.sightings.frames[position]
        pixels = ImageFiles([Path(files[frame]) for frame in frames], self.bits)
        return np.stack([self._resize(pixels[place]) for place in range(len(pixels))])

    def picture(self, position: int) -> Pixels:
        """What a sighting looks like, ``(H, W, 3)``: its middle frame, for people to see."""
        return self.read(position, [len(self.sightings.frames[position]) // 2])[0]

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack, move channels first and normalise; of pictures, the time axis goes."""
        pixels = torch.from_numpy(np.stack([sample.pop("input") for sample in samples])).movedim(-1, 1)
        normalised = empty_batch(pixels.shape).copy_(pixels).mul_(self.scale).add_(self.shift)
        return {"input": normalised if self.tracklets else normalised.squeeze(2), **super().collate(samples)}

    def described(self) -> Iterator[Column]:
        """Identities and cameras; of tracklets the names of their frames, and how many each has."""
        yield self.sightings.identities
        yield self.sightings.cameras
        if self.tracklets:
            yield [os.path.basename(file) for files in self.sightings.frames for file in files]  # noqa: PTH119 - fast
            yield np.array([len(files) for files in self.sightings.frames], dtype=np.int64)

    def files(self, position: int) -> Sequence[Path]:
        """Every frame."""
        return [Path(path) for path in self.sightings.frames[position]]

    def problem(self, position: int) -> str | None:
        """What is wrong with a sighting, reading all of its frames."""
        try:
            for frame in range(len(self.sightings.frames[position])):
                self.read(position, [frame])
        except (ValueError, OSError) as error:
            return " ".join(str(error).split())
        return damaged_file(self.files(position))

    def note(self, position: int) -> str | None:
        """What is worth knowing of the frames of a sighting."""
        return next(filter(None, map(peculiarity, self.files(position))), None)

    def _apply(self, frames: Pixels) -> Pixels:
        return frames if self.transform is None else self.transform(images=frames)["images"]

    def _resize(self, picture: Pixels) -> Pixels:
        if picture.shape[:2] == self.size:
            return picture
        # Bilinear, and without aliasing where the picture shrinks.
        shrinks = picture.shape[0] > self.size[0]
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(picture, self.size[::-1], interpolation=interpolation), dtype=np.uint8)


class TrainingPedestrians(Pedestrians):
    """One random clip of each sighting; ``target`` is the place of its identity among the sorted ones.

    Args:
        clip: Frames of a clip.
        options: Those of :class:`Pedestrians`.
    """

    def __init__(self, clip: RandomClip, **options: Any) -> None:
        super().__init__(**options)
        self.clip = clip
        self.identities = np.unique(self.sightings.identities, return_inverse=True)[1]

    def __len__(self) -> int:
        return len(self.sightings)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(T, H, W, 3)``, ``target`` and ``camera``."""
        rng = np.random.default_rng(random.getrandbits(64))
        frames = self.read(index, self.clip(len(self.sightings.frames[index]), rng=rng))
        return {
            "input": self._apply(frames),
            "target": int(self.identities[index]),
            "camera": int(self.cameras[index]),
        }


class Pool(Pedestrians):
    """Sightings to retrieve from; ``target`` is the identity as the data set numbers it.

    Items are clips: item ``index`` belongs to sighting ``owner[index]``, which has one or several.

    Args:
        retrieval: Who is asked for, and who is searched.
        clips: Clips of a sighting.
        labelled: Whether items have ``target`` and ``camera``.
        options: Those of :class:`Pedestrians`.
    """

    owner: NDArray[np.int64]

    def __init__(self, retrieval: Retrieval, clips: Clips, labelled: bool, **options: Any) -> None:
        super().__init__(sightings=retrieval.pool, transform=None, **options)
        self.query, self.gallery, self.protocol = retrieval.query, retrieval.gallery, retrieval.protocol
        self.identities = self.sightings.identities
        self.labelled = labelled
        lengths = np.array([len(frames) for frames in self.sightings.frames], dtype=np.int64)
        self._clips = {length: clips(length) for length in np.unique(lengths).tolist()}
        counts = np.array([len(self._clips[length]) for length in lengths.tolist()], dtype=np.int64)
        self.owner = np.repeat(np.arange(len(counts)), counts)
        self._first = np.cumsum(counts) - counts

    def seen_by(self, position: int) -> str:
        """Which camera a sighting is from, for people to read; nothing where there is one."""
        return "" if self.protocol == ONE_CAMERA else f"camera {self.cameras[position] + 1}"

    def described(self) -> Iterator[Column]:
        """Also who is asked for, and who is searched."""
        yield from super().described()
        yield self.query
        yield self.gallery

    def __len__(self) -> int:
        return len(self.owner)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(T, H, W, 3)``; with labels ``target`` and ``camera``, without them ``valid``.

        Raises:
            DataError: If it has labels, and a file is missing or damaged.
        """
        position = int(self.owner[index])
        frames = self._clips[len(self.sightings.frames[position])][index - self._first[position]]
        if self.labelled:
            labels = {"target": int(self.identities[position]), "camera": int(self.cameras[position])}
            return {"input": self.read(position, frames), **labels}
        try:
            return {"input": self.read(position, frames), "valid": True}
        except DataError:
            return {"input": np.zeros((len(frames), *self.size, 3), np.uint8), "valid": False}

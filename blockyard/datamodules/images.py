"""Splits of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import partial
from pathlib import Path
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from blockyard.datamodules.listing import FileKind
from blockyard.datamodules.loading import Batch, Column, Split, empty_batch
from blockyard.datamodules.reduced import Decoding
from blockyard.media.picture_checks import damage, peculiarity
from blockyard.media.picture_files import Pixels, decode, reducible_size
from blockyard.media.picture_windows import Size, Window, picture_size, read_window

PICTURES = FileKind(
    "picture",
    frozenset({".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}),
    "*.jpg (or .png, .webp, …)",
)
AT_ONCE = 1 << 18
"""Values, which as floats take a megabyte."""
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Images(Split):
    """Pictures of one split, with labels or without.

    Args:
        images: Pictures, each uint8 ``(H, W, C)``; read when asked for.
        targets: Labels ``(n,)``, or None for prediction.
        names: One name a picture.
        transform: albumentations pipeline that ends in pictures of one size.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        crops: What makes several crops ``(V, H, W, C)`` of a transformed picture; None leaves it whole.
    """

    def __init__(
        self,
        images: Sequence[Pixels] | Pixels,
        targets: NDArray[np.integer[Any]] | None,
        names: Sequence[str],
        transform: A.Compose | None,
        mean: Sequence[float],
        std: Sequence[float],
        crops: Callable[[Pixels], Pixels] | None = None,
    ) -> None:
        self.images = images
        self.targets = targets
        self.names = names
        self.transform = transform
        self.crops = crops
        self.scale = 1 / (255 * torch.tensor(std).view(-1, 1, 1))
        self.shift = -torch.tensor(mean).view(-1, 1, 1) / torch.tensor(std).view(-1, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(H, W, C)`` or its crops ``(V, H, W, C)``, and ``target`` if there are labels."""
        image = self.images[index] if self.transform is None else self.transform(**self._given(index))["image"]
        sample: dict[str, Any] = {"input": image if self.crops is None else self.crops(image)}
        if self.targets is not None:
            sample["target"] = int(self.targets[index])
        return sample

    def described(self) -> Iterator[Column]:
        """Labels, and pixels that are held in memory."""
        if self.targets is not None:
            yield self.targets
        if isinstance(self.images, np.ndarray):
            yield self.images

    def over(self, other: Split) -> Images:
        """The pictures of another split, through the transform of this one."""
        assert isinstance(other, Images)
        plain = copy(self)
        plain.images, plain.targets, plain.names = other.images, other.targets, other.names
        return plain

    def files(self, position: int) -> Sequence[Path]:
        """The file of a picture that has one."""
        return [self.images.paths[position]] if isinstance(self.images, ImageFiles) else []

    def problem(self, position: int) -> str | None:
        """What is wrong with a picture; its files are checked beyond whether they open."""
        return super().problem(position) or damaged_file(self.files(position))

    def note(self, position: int) -> str | None:
        """What is worth knowing of the files of a picture."""
        return next(filter(None, map(peculiarity, self.files(position))), None)

    def stored_shape(self, position: int) -> tuple[int, ...]:
        """``(H, W, C)`` as stored."""
        return self.images[position].shape

    def _given(self, index: int) -> dict[str, Any]:
        """What the transform is called with: a picture or, if it decodes the picture itself, its size and file."""
        first = next(iter(self.transform.transforms), None) if self.transform else None
        if isinstance(first, Decoding) and isinstance(self.images, ImageFiles) and (size := self.images.size(index)):
            return {"image": np.empty((*size, 0), np.uint8), "read": partial(self.images.reduced, index)}
        return {"image": self.images[index]}

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack to float ``(B, C, H, W)`` or ``(B, V, C, H, W)`` and normalise, so many at once as the cache holds.

        Pixels that are floats are normalised already.
        """
        pixels = [sample.pop("input") for sample in samples]
        *views, height, width, channels = pixels[0].shape
        normalised = empty_batch((len(pixels), *views, channels, height, width))
        step = max(1, AT_ONCE // pixels[0].size)
        for start in range(0, len(pixels), step):
            some = np.stack(pixels[start : start + step])
            if some.dtype == np.float32:
                normalised[start : start + step] = torch.from_numpy(some).movedim(-1, -3)
                continue
            # OpenCV takes channels apart faster than a strided copy.
            planes = np.stack(cv2.split(some.reshape(-1, width, channels))).reshape(channels, *some.shape[:-1])
            values = normalised[start : start + step].copy_(torch.from_numpy(planes).movedim(0, -3))
            values.mul_(self.scale).add_(self.shift)
        return {"input": normalised, **super().collate(samples)}


def damaged_file(paths: Sequence[Path]) -> str | None:
    """The first of some picture files that opens and is damaged, and how; None if none is."""
    return next((f"{path}: {found}; replace or remove it" for path in paths if (found := damage(path))), None)


class ImageFiles(Sequence[Pixels]):
    """Picture files as uint8 ``(H, W, 3)``, upright, decoded when asked for by :func:`decode`.

    Args:
        paths: The files.
        bits: How many bits the values of files of more than 8 bits have; None means as many as the file has.
    """

    def __init__(self, paths: Sequence[Path], bits: int | None = None) -> None:
        self.paths = paths
        self.bits = bits
        self._whole: tuple[int, Pixels] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        """Decode one file.

        Raises:
            DataError: If it is missing, damaged, or its values are outside of their range.
        """
        return self.read(index)[0]

    def read(self, index: int) -> tuple[Pixels, int]:
        """Decode one file, and tell the orientation tag by which it was turned, 1 for none.

        Raises:
            DataError: If it is missing, damaged, or its values are outside of their range.
        """
        return decode(self.paths[index], self.bits)

    def size(self, index: int) -> tuple[int, int] | None:
        """Height and width of a file that can be decoded smaller; None of one that is to be read as it is."""
        return reducible_size(self.paths[index])

    def reduced(self, index: int, reduction: int) -> tuple[Pixels, int]:
        """Decode one file, its height and width divided by 1, 2, 4 or 8, and tell its orientation tag.

        Raises:
            DataError: If it is damaged.
        """
        return decode(self.paths[index], self.bits, reduction)

    def size_of(self, index: int) -> Size:
        """Height and width of a file, upright, without reading its pixels.

        Raises:
            DataError: If it is missing or no picture.
        """
        return picture_size(self.paths[index])

    def window(self, index: int, window: Window) -> Pixels:
        """A part ``(h, w, 3)`` of one file; one that is to be decoded whole is kept until another one is asked for.

        Raises:
            DataError: If it is missing, damaged, or its values are outside of their range.
        """
        if (part := read_window(self.paths[index], window)) is not None:
            return part
        if self._whole is None or self._whole[0] != index:
            self._whole = None  # or there would be two for a while
            self._whole = index, self[index]
        return np.ascontiguousarray(self._whole[1][window])

"""Splits of pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from blockyard.datamodules.base import DataError
from blockyard.datamodules.class_folders import FileKind
from blockyard.datamodules.fingerprints import Column
from blockyard.datamodules.loading import Batch, Split, empty_batch

Pixels = NDArray[np.uint8]
PICTURES = FileKind(
    "picture",
    frozenset({".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}),
    "*.jpg (or .png, .webp, …)",
)
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
        image = self.images[index] if self.transform is None else self.transform(image=self.images[index])["image"]
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

    def stored_shape(self, position: int) -> tuple[int, ...]:
        """``(H, W, C)`` as stored."""
        return self.images[position].shape

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack, move channels first and normalise: for a batch at once, this is a few µs a picture of 32×32."""
        pixels = torch.from_numpy(np.stack([sample.pop("input") for sample in samples])).movedim(-1, -3)
        normalised = empty_batch(pixels.shape).copy_(pixels).mul_(self.scale).add_(self.shift)
        return {"input": normalised, **super().collate(samples)}


class ImageFiles(Sequence[Pixels]):
    """Picture files as uint8 ``(H, W, 3)``, decoded when asked for.

    Grey is repeated; CMYK and palettes are converted; transparency is dropped; of 16 bits the upper 8 are taken. The
    orientation tag is not applied, as in torchvision.

    Args:
        paths: The files.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Pixels:  # type: ignore[override]
        """Decode one file.

        Raises:
            DataError: If it is missing, damaged or has floating-point pixels.
        """
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                if image.mode == "F":
                    raise DataError(f"{path}: floating-point pixels; save it with 8 or 16 bits")
                # Pillow's own conversion clips 16-bit pixels at 255 ("I" is how it opens some 16-bit PNG files).
                if image.mode.startswith("I"):
                    grey = (np.asarray(image) >> 8).clip(0, 255).astype(np.uint8)
                    return np.repeat(grey[..., None], 3, axis=-1)
                return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{path}: damaged or not a picture ({error}); replace or remove it") from error

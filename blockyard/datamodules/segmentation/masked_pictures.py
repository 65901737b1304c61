"""Splits of pictures with masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import torch
from numpy.typing import NDArray

from blockyard.datamodules.images import ImageFiles, Images, Pixels
from blockyard.datamodules.loading import Column, Split, trouble
from blockyard.datamodules.segmentation.masks import Mask, MaskFiles
from blockyard.media.picture_files import SIDEWAYS, UPRIGHT, turn
from blockyard.mistakes import DataError


class PicturesWithMasks(Images):
    """What crops and whole pictures share: reading a picture with its mask.

    Args:
        images: Pictures, each uint8 ``(H, W, 3)``; read when asked for.
        masks: Their masks, uint8 ``(H, W)``, or None for prediction.
        names: One name a picture.
        transform: albumentations pipeline.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
    """

    def __init__(
        self,
        images: ImageFiles,
        masks: MaskFiles | None,
        names: Sequence[str],
        transform: A.Compose | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(images, None, names, transform, mean, std)
        self.masks = masks

    def over(self, other: Split) -> PicturesWithMasks:
        """The pictures and masks of another split, read as this one reads its own."""
        assert isinstance(other, PicturesWithMasks)
        plain = super().over(other)
        assert isinstance(plain, PicturesWithMasks)
        plain.masks = other.masks
        return plain

    def described(self) -> Iterator[Column]:
        """The names of the masks' files."""
        if self.masks is not None:
            yield [path.name for path in self.masks.paths]

    def files(self, position: int) -> Sequence[Path]:
        """The picture and its mask."""
        return [*super().files(position), *([self.masks.paths[position]] if self.masks else [])]

    def read(self, index: int) -> tuple[Pixels, Mask | None]:
        """A picture and its mask, both upright.

        A picture with an orientation tag, as telephones store them, is turned; its mask is turned by a tag of its own.
        Of a mask without one, its size tells whether it was drawn over the picture as it is shown or as it is stored,
        and in the latter case it is turned by the picture's tag.

        Raises:
            DataError: If a file is missing or damaged, if the two differ in size, or if an orientation tag leaves open
                how they lie to each other.
        """
        image, tag = _read(self.images, index)
        if self.masks is None:
            return image, None
        mask, own = _read(self.masks, index)
        shape, sideways = image.shape[:2], tag in SIDEWAYS and image.shape[0] != image.shape[1]
        if own == UPRIGHT and sideways and mask.shape == shape[::-1]:
            mask = turn(mask, tag)  # drawn over the picture as it is stored, as its size tells
        elif mask.shape != shape:
            sizes = [f"{array.shape[1]}×{array.shape[0]}" for array in (mask, image)]
            turned = "" if tag == UPRIGHT else f", turned upright by its orientation tag {tag}"
            raise DataError(f"{self.masks.paths[index]}: {sizes[0]} pixels, but its picture has {sizes[1]}{turned}")
        elif own != tag and not (own == UPRIGHT and sideways):
            raise DataError(
                f"{self.masks.paths[index]}: orientation tag {own}, but {tag} of its picture (1 is upright), so "
                "nothing says how they lie to each other: save both upright, without the tag"
            )
        return image, mask


def _read(files: Any, index: int) -> tuple[Any, int]:
    """A picture or mask, and its orientation tag if it is a file."""
    return files.read(index) if hasattr(files, "read") else (files[index], UPRIGHT)


class Crops(PicturesWithMasks):
    """Training crops of pictures with masks; the transform must end in one size."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(h, w, 3)``, and ``target``, uint8 ``(h, w)``."""
        image, mask = self.read(index)
        assert self.transform is not None
        crop = self.transform(image=image, mask=mask)
        return {"input": crop["image"], "target": crop["mask"]}

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``input`` float ``(B, 3, h, w)``, ``target`` long ``(B, h, w)``, ``index`` long ``(B,)``."""
        batch = super().collate(samples)
        return {**batch, "target": batch["target"].long()}


class WholePictures(PicturesWithMasks):
    """Whole pictures of any size, with masks at their original size, or without.

    Without masks, for ``predict``, a picture that can't be read takes part as one black pixel that is not ``valid``.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(h, w, 3)``, and ``target``, uint8 ``(H, W)``, or ``size``, ``[H, W]``, and ``valid``.

        Raises:
            DataError: If it has a mask, and one of the two is damaged or they do not fit.
        """
        try:
            image, mask = self.read(index)
        except DataError:
            if self.masks is not None:
                raise
            return self.blank()
        seen = image if self.transform is None else self.transform(image=image)["image"]
        return {"input": seen, **({"size": list(image.shape[:2]), "valid": True} if mask is None else {"target": mask})}

    def blank(self) -> dict[str, Any]:
        """What stands for a picture that can't be read."""
        return {"input": np.zeros((1, 1, len(self.scale)), np.uint8), "size": [1, 1], "valid": False}

    def visible(self, index: int, pixels: NDArray[Any]) -> Pixels:
        """What people are shown, ``(h, w, 3)``, of an item's ``input``."""
        files: Any = self.images
        return files.visible(self.sample_of(index), pixels) if hasattr(files, "visible") else pixels

    def problem(self, position: int) -> str | None:
        """What is wrong with a picture or its mask, in one line; None if nothing is."""
        return trouble(lambda: self.read(position)) or super().problem(position)

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``input`` and ``target`` lists of B tensors; ``size`` long ``(B, 2)``, ``valid`` and ``index`` ``(B,)``."""
        batch: dict[str, Any] = {"input": [self._normalise(sample["input"]) for sample in samples]}
        if "target" in samples[0]:
            batch["target"] = [torch.from_numpy(sample["target"]).long() for sample in samples]
        else:
            batch["size"] = torch.tensor([sample["size"] for sample in samples])
            batch["valid"] = torch.tensor([sample["valid"] for sample in samples])
        return {**batch, "index": torch.tensor([sample["index"] for sample in samples])}

    def _normalise(self, picture: Pixels) -> torch.Tensor:
        return super().collate([{"input": picture}])["input"][0]

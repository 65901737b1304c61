"""Splits of pictures with boxes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import albumentations as A
import cv2
import numpy as np
import torch

from blockyard.datamodules.detection.boxes import BoxedListing, Boxes, checked_corners
from blockyard.datamodules.images import ImageFiles, Images, Pixels
from blockyard.datamodules.loading import Column, Split, trouble
from blockyard.mistakes import DataError


class BoxedPictures(Images):
    """What training and evaluation share: reading a picture with its boxes.

    Args:
        images: Pictures, each uint8 ``(H, W, 3)``; read when asked for.
        listing: Their boxes and names.
        size: Height and width of all inputs.
        transform: albumentations pipeline of pictures with boxes, which ends in that size; None for whole pictures.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
    """

    def __init__(
        self,
        images: ImageFiles,
        listing: BoxedListing,
        size: tuple[int, int],
        transform: A.Compose | None,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(images, None, listing.names, transform, mean, std)
        self.listing, self.size = listing, size
        self.fill = [round(255 * value) for value in mean]

    def over(self, other: Split) -> BoxedPictures:
        """The pictures and boxes of another split, read as this one reads its own."""
        assert isinstance(other, BoxedPictures)
        plain = copy(self)
        plain.images, plain.listing, plain.names = other.images, other.listing, other.names
        return plain

    def described(self) -> Iterator[Column]:
        """How many boxes each picture has, all of them, their classes, and which are crowds."""
        if boxes := self.listing.boxes:
            yield np.array([len(each) for each in boxes])
            yield np.concatenate([each.corners for each in boxes])
            yield np.concatenate([each.labels for each in boxes])
            yield np.concatenate([each.crowd for each in boxes])

    def problem(self, position: int) -> str | None:
        """What is wrong with a picture or its boxes, in one line; None if nothing is."""
        return trouble(lambda: self.read(position)) or super().problem(position)

    def read(self, index: int) -> tuple[Pixels, Boxes]:
        """A picture and its boxes, none where they are not known.

        Raises:
            DataError: If it is missing, damaged, or not of the size that its boxes were drawn for.
        """
        picture, boxes = self.images[index], self.listing.boxes
        if boxes is None:
            return picture, Boxes.of([])
        height, width = picture.shape[:2]
        stated, source = self.listing.sizes[index], f"{self.listing.sources[index]}: {self.names[index]}"
        if stated is None:
            for corners in boxes[index].corners.tolist():
                checked_corners(corners, (height, width), source)
        elif stated != (height, width):
            said = f"{stated[1]}×{stated[0]} pixels are stated, but the picture has {width}×{height}"
            raise DataError(f"{source}: {said}, turned upright if it says how")
        return picture, boxes[index]


class BoxedCrops(BoxedPictures):
    """Training samples: of one size, what is left of their boxes with them; crowds are left out."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(h, w, 3)``, ``boxes``, float32 ``(n, 4)``, and ``labels``, int64 ``(n,)``."""
        picture, boxes = self.read(index)
        kept = ~boxes.crowd
        assert self.transform is not None
        seen = self.transform(image=picture, bboxes=boxes.corners[kept], labels=boxes.labels[kept])
        corners = np.asarray(seen["bboxes"], np.float32).reshape(-1, 4)
        return {"input": seen["image"], "boxes": corners, "labels": np.asarray(seen["labels"], np.int64).reshape(-1)}

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``input`` float ``(B, 3, h, w)``, ``target`` B dictionaries, ``index`` long ``(B,)``."""
        target = [{name: torch.from_numpy(sample.pop(name)) for name in ("boxes", "labels")} for sample in samples]
        return {**super().collate(samples), "target": target}


class WholePictures(BoxedPictures):
    """Whole pictures, as large as fits into ``size``, with their boxes in pixels of the files, or without.

    Without boxes, for ``predict``, a picture that can't be read takes part as a grey one that is not ``valid``.
    """

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(h, w, 3)``, the file's ``size`` ``(H, W)``, and the ``factor`` from it to the input.

        And ``truth``, the boxes, or whether it is ``valid``.

        Raises:
            DataError: If it has boxes, and something is damaged or does not fit.
        """
        try:
            picture, boxes = self.read(index)
        except DataError:
            if self.listing.boxes is not None:
                raise
            blank = np.full((*self.size, 3), 127, np.uint8)
            return {"input": blank, "size": [1, 1], "factor": [1.0, 1.0], "valid": False}
        seen = fitted(picture, self.size)
        height, width = picture.shape[:2]
        known = {"valid": True} if self.listing.boxes is None else {"truth": boxes}
        factor = [seen.shape[0] / height, seen.shape[1] / width]
        return {"input": padded(seen, self.size, self.fill), "size": [height, width], "factor": factor, **known}

    def collate(self, samples: list[dict[str, Any]]) -> dict[str, Any]:
        """``input`` float ``(B, 3, h, w)``, ``size`` and ``factor`` ``(B, 2)``, ``target`` or ``valid``, ``index``.

        ``target`` is B dictionaries of ``boxes`` ``(n, 4)``, ``labels``, ``iscrowd`` and ``area`` ``(n,)``.
        """
        truths = [sample.pop("truth", None) for sample in samples]
        factor = torch.tensor([sample.pop("factor") for sample in samples])
        size = torch.tensor([sample.pop("size") for sample in samples])
        batch = {**super().collate(samples), "size": size, "factor": factor}
        if truths[0] is not None:
            batch["target"] = [as_target(truth) for truth in truths]  # type: ignore[assignment]
        return batch


def as_target(boxes: Boxes) -> dict[str, torch.Tensor]:
    """Boxes as torchmetrics takes the truth: ``boxes`` ``(n, 4)``, ``labels``, ``iscrowd`` and ``area`` ``(n,)``."""
    return {
        "boxes": torch.from_numpy(boxes.corners),
        "labels": torch.from_numpy(boxes.labels),
        "iscrowd": torch.from_numpy(boxes.crowd.astype(np.int64)),
        "area": torch.from_numpy(boxes.area),
    }


def fitted(picture: Pixels, size: tuple[int, int]) -> Pixels:
    """A picture ``(H, W, C)`` made as large as fits into a height and a width, its sides in proportion."""
    factor = min(want / have for want, have in zip(size, picture.shape[:2], strict=True))
    height, width = (max(1, round(factor * side)) for side in picture.shape[:2])
    if (height, width) == picture.shape[:2]:
        return picture
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), np.uint8)


def padded(picture: Pixels, size: tuple[int, int], fill: Sequence[int]) -> Pixels:
    """A picture ``(h, w, 3)`` with a colour below it and at its right, up to a height and a width."""
    whole = np.empty((*size, len(fill)), np.uint8)
    whole[:] = fill
    whole[: picture.shape[0], : picture.shape[1]] = picture
    return whole

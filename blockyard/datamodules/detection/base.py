"""What every data module of pictures with boxes shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.detection.boxed_pictures import BoxedCrops, BoxedPictures, WholePictures
from blockyard.datamodules.detection.boxes import BoxedListing
from blockyard.datamodules.images import PICTURES, ImageFiles
from blockyard.datamodules.picture_options import PictureOptions
from blockyard.datamodules.picture_survey import survey_pictures
from blockyard.datamodules.segmentation.listing import hold_out_evenly
from blockyard.datamodules.segmentation.mask_transforms import photometric_distortion
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, spread
from blockyard.mistakes import DataError

VISIBLE = 0.3
"""Share of a box that a training crop must show to be learned from."""


class DetectionDataModule(PictureOptions):
    """Pictures with boxes around objects; a subclass reads them in :meth:`list_boxes`.

    Every picture is made as large as fits into ``size``, its sides in proportion, and padded with the mean colour.
    Training pictures are then enlarged or reduced by a random factor in ``scale``, put or cut at random, flipped, and
    distorted in colour; a box of which less than 30 % is left is dropped. Crowds, and what VOC calls difficult, are not
    learned from, and need not be found.

    Batches: ``input``, float ``(B, 3, h, w)``, and ``target``, B dictionaries of ``boxes``, float ``(n, 4)``: left,
    top, right, bottom, and ``labels``, long ``(n,)``. In training, boxes are in pixels of the input; in evaluation in
    those of the file, beside ``iscrowd`` and ``area``, with the file's ``size`` ``(B, 2)`` and the ``factor``
    ``(B, 2)`` from there to the input, vertical first; in ``predict``, without ``target``.

    Args:
        size: Height and width of inputs.
        scale: Smallest and largest random factor in training; (1, 1) for none.
        flip: Whether training pictures are flipped horizontally at random.
        photometric: Whether the colours of training pictures are changed at random.
        train_set: Name of the set that is trained on.
        val_set: Name of the set for validation; None holds ``val_fraction`` of the training pictures out.
        test_set: Name of the set that is tested on.
        val_fraction: Share of the training pictures held out, by a fixed rule; 0 trains on all.
        predict_folder: A picture for ``predict``, a folder with them at any depth, or several of either; None means the
            test pictures.
        leave_out_faulty: Whether boxes that are empty or reach beyond their picture are left out, and counted in one
            line, in place of a refusal: published sets have a few.
        batch_size: Global batch size.
        options: Those of :class:`~blockyard.datamodules.picture_options.PictureOptions`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "pictures with boxes"

    def __init__(
        self,
        size: tuple[int, int] = (512, 512),
        scale: tuple[float, float] = (0.75, 1.33),
        flip: bool = True,
        photometric: bool = True,
        train_set: str = "train",
        val_set: str | None = None,
        test_set: str = "test",
        val_fraction: float = 0.1,
        predict_folder: str | list[str] | None = None,
        leave_out_faulty: bool = False,
        batch_size: int = 16,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        if min(size) < 1 or not 0 < scale[0] <= scale[1]:
            raise ValueError(f"size={size} and scale={scale} must be positive, the smallest factor before the largest")
        if not 0 <= val_fraction < 1:
            raise ValueError(f"val_fraction={val_fraction} must be at least 0 and below 1")
        self.size, self.scale, self.flip, self.photometric = size, scale, flip, photometric
        self.train_set, self.val_set, self.test_set = train_set, val_set, test_set
        self.val_fraction, self.leave_out_faulty = val_fraction, leave_out_faulty
        self.predict_folder = predict_folder
        self._listed: dict[str, BoxedListing] = {}

    @abstractmethod
    def list_boxes(self, name: str) -> BoxedListing:
        """The pictures of a set with their boxes.

        Raises:
            DataError: If something is missing or damaged.
        """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, h, w)``."""
        return (3, *self.size)

    def load(self, split: str) -> BoxedPictures:
        """List a split; the pictures themselves are read when asked for.

        Raises:
            DataError: If something is missing or damaged, or there is not one box to learn from or to find.
        """
        listing = self._listing(split)
        if listing.boxes is not None and len(listing.images) and all(each.crowd.all() for each in listing.boxes):
            raise DataError(f"{split}: none of {len(listing.images)} pictures has a box")
        kind = BoxedCrops if split == "train" else WholePictures
        transform = self._transform() if split == "train" else None
        return kind(ImageFiles(listing.images, self.bits), listing, self.size, transform, self.mean, self.std)

    def _listing(self, split: str) -> BoxedListing:
        if split == "predict" and self.predict_folder:
            found = PICTURES.find_new(self.predict_folder)
            return BoxedListing(found.paths, found.names)
        if split in ("test", "predict"):
            tested = self._list(self.test_set)
            return tested if split == "test" else BoxedListing(tested.images, tested.names)
        if split == "val" and self.val_set is not None:
            return self._list(self.val_set)
        whole = self._list(self.train_set)
        stay, held = hold_out_evenly(len(whole.images), 0 if self.val_set is not None else self.val_fraction)
        return whole.take((held if split == "val" else stay).tolist())

    def _list(self, name: str) -> BoxedListing:
        if name not in self._listed:
            self._listed[name] = self.list_boxes(name)
        return self._listed[name]

    def remarks(self, split: str) -> Iterator[str]:
        """Classes that no box of a split is of."""
        if boxes := self._listing(split).boxes:
            counts = np.bincount(np.concatenate([each.labels for each in boxes]), minlength=self.num_classes)
            if absent := [name for name, count in zip(self.classes, counts, strict=True) if not count]:
                yield f"{split}: not one box is {', '.join(absent[:5])}{', …' if len(absent) > 5 else ''}"

    def suggest(self, weights: bool) -> Suggestion:
        """A size of inputs and colours that the training pictures speak for."""
        listing, largest = self._listing("train"), 512 if weights else 256
        found = survey_pictures(ImageFiles(listing.images, self.bits))
        long = max(found.height, found.width)
        side = max(64, min(largest, -(-long // 32) * 32))
        boxes = sum(len(each.labels) for each in listing.boxes or ())
        options = {
            "size": Choice([side, side], f"pictures of {long} pixels, up to {largest}, in steps of 32"),
            "flip": found.flip(self.classes, masks=True),
            "photometric": Choice(not found.grey, "grey pictures have no hue" if found.grey else "light varies"),
            **found.normalisation(weights),
            "batch_size": batch_for(len(listing.images), 16),
        }
        if found.grey and found.alike:
            options["scale"] = Choice([1.0, 1.0], "grey and of one size, as an instrument's: its magnification stays")
        pictures = f"{len(listing.images):,} pictures with {boxes:,} boxes to train on, {self.num_classes} classes"
        return Suggestion(f"{pictures}; {found}", options)

    def small_side(self) -> float:
        """The shorter side that a tenth of the training boxes stay below, in pixels of the input."""
        listing = self._listing("train")
        files, sides = ImageFiles(listing.images, self.bits), []
        for number in spread(range(len(listing.images))):
            height, width = (listing.sizes and listing.sizes[number]) or files[number].shape[:2]
            corners = listing.boxes[number].corners if listing.boxes else np.zeros((0, 4))
            sides.append((corners[:, 2:] - corners[:, :2]).min(1) * min(self.size[0] / height, self.size[1] / width))
        return float(np.quantile(np.concatenate(sides), 0.1))

    def _transform(self) -> A.Compose:
        height, width = self.size
        low, high = self.scale
        fill = [round(255 * value) for value in self.mean]
        resize: list[A.BasicTransform] = [
            A.LongestMaxSize(max_size_hw=self.size, area_for_downscale="image"),
            *([A.RandomScale((low - 1, high - 1), interpolation=cv2.INTER_LINEAR, p=1.0)] if low < high else []),
            A.PadIfNeeded(height, width, position="random", fill=fill),
            A.RandomCrop(height, width),
            *([A.HorizontalFlip(p=0.5)] if self.flip else []),
            *(photometric_distortion() if self.photometric else []),
        ]
        kept = A.BboxParams("pascal_voc", ["labels"], min_visibility=VISIBLE, min_width=1, min_height=1, clip=True)
        return A.Compose(resize, bbox_params=kept)

"""What data sets of picture files with one label each share."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, Literal

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.image.augmentation import erasing_transform, policy_transform
from blockyard.datamodules.image.new_pictures import NewPictures
from blockyard.datamodules.images import PICTURES, ImageFiles, Images, Pixels
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.picture_options import PictureOptions
from blockyard.datamodules.picture_survey import survey_pictures
from blockyard.datamodules.reduced import DecodingCrop, DecodingShortSide
from blockyard.datamodules.suggesting import Choice, Suggestion, batch_for, counted


class ImageDataModule(PictureOptions, LabelledDataModule):
    """Picture files of any size and of most kinds, with one label each.

    Training pictures are cropped at random to a share ``scale`` of their area, resized to ``size`` and flipped;
    the others are resized to ``resize`` on their short side and cropped in the middle. See
    :func:`~blockyard.media.picture_files.decode` for how grey, CMYK and 16-bit pictures become RGB. Pictures with
    an orientation tag are turned upright, as viewers show them, in training, tests and prediction alike.

    A subclass implements :meth:`pictures` and ``classes``.

    Args:
        size: Height and width of the input.
        resize: Short side before the middle crop; None means ``size / 0.875``.
        scale: Smallest and largest share of the area that a training crop covers; None resizes training pictures to
            ``resize`` too, and crops them at random there.
        flip: Whether training pictures are flipped horizontally at random.
        auto_augment: A policy by which training pictures are changed, in the words of timm, such as
            ``rand-m9-mstd0.5-inc1`` (see :func:`~blockyard.datamodules.image.augmentation.policy_transform`).
        erasing: Share of training pictures of which a part is made grey, the mean colour; None leaves them whole.
        crops: Crops of a test picture, the middle and the four corners of the resized one; None takes the middle.
        test_size: Height and width of the input in ``test`` and ``predict``, whose pictures are resized in the same
            proportion; None takes ``size``. A network that was trained on crops sees objects larger there than in whole
            pictures, and gains by a larger test (Touvron et al., Fixing the train-test resolution discrepancy, NeurIPS
            2019). Validation, and the costs in a record, keep ``size``.
        predict_folder: An unlabelled picture for ``predict``, a folder with them at any depth, or several of either.
            Of these, one that can't be read is named and passed over.
        decode: ``reduced`` decodes JPEG files at 1/2, 1/4 or 1/8 of their size where that still leaves as many pixels
            as are wanted, and resizes what is left by linear interpolation: the same crops in less time, at a small
            difference of pixels (docs/picture-files.md). None decodes every pixel and averages over areas.
        options: Those of :class:`~blockyard.datamodules.picture_options.PictureOptions` and
            :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range, or there is no such policy.
    """

    samples_are: ClassVar[str] = "pictures with a class"
    evaluation_options: ClassVar[tuple[str, ...]] = ("crops", "test_size")

    def __init__(
        self,
        size: int = 224,
        resize: int | None = None,
        scale: tuple[float, float] | None = (0.08, 1.0),
        flip: bool = True,
        auto_augment: str | None = None,
        erasing: float | None = None,
        crops: Literal[5] | None = None,
        test_size: int | None = None,
        predict_folder: str | list[str] | None = None,
        decode: Literal["reduced"] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if size < 1 or (resize is not None and resize < size):
            title = type(self).__name__
            raise ValueError(f"{title}: size={size} must be positive and resize={resize} at least as large")
        if test_size is not None and test_size < 1:
            raise ValueError(f"{type(self).__name__}: test_size={test_size} must be positive")
        if decode not in (None, "reduced"):
            raise ValueError(f"{type(self).__name__}: decode={decode!r} must be reduced or null")
        self.size = size
        self.resize = resize or round(size / 0.875)
        self.test_size = test_size or size
        self.scale = scale
        self.flip, self.decode = flip, decode
        self.crops = crops
        self.predict_folder = predict_folder
        self._policy = policy_transform(auto_augment, size, self.mean)
        self._erasing = erasing_transform(erasing, self.mean)

    @abstractmethod
    def pictures(self, split: str) -> Listing:
        """List the pictures of a split; of ``predict`` those for when there is no ``predict_folder``.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, size, size)``."""
        return (3, self.size, self.size)

    def load(self, split: str) -> Images:
        """List a split; the pictures themselves are read when asked for."""
        if split == "predict":
            found = PICTURES.find_new(self.predict_folder) if self.predict_folder else self.pictures(split)
            transform = self.preparation(self.test_size)
            return NewPictures(found, self.test_size, transform, self.mean, self.std, self.bits)
        size = self.test_size if split == "test" else self.size
        found, transform, crops = self.pictures(split), self.preparation(size), None
        if split == "train":
            transform = self.augmentation()
        elif split == "test" and self.crops:
            transform, crops = A.Compose([self._resized(size)]), partial(five_crops, size=size)
        return Images(self.files(found), found.targets, found.names, transform, self.mean, self.std, crops)

    def suggest(self, weights: bool) -> Suggestion:
        """Size, colours and crops that the training pictures speak for."""
        listing = self.pictures("train")
        found, counts = survey_pictures(self.files(listing)), self.class_counts()
        size = found.side(weights)
        resize, why = (None, "size / 0.875, as trained weights were tested") if weights else (size.value, "as size")
        least, reason = (0.35, "trained weights know objects of any size") if weights else (0.6, "most of each object")
        options = {
            "size": size,
            "resize": Choice(resize, f"{why}: a test sees {'the middle' if weights else 'whole short sides'}"),
            "scale": Choice([least, 1.0], f"training crops keep {reason}"),
            "flip": found.flip(self.classes),
            **found.normalisation(weights),
            "batch_size": batch_for(len(listing.names)),
        }
        said = f"{len(listing.names):,} pictures to train on, {counted(counts, 'pictures')}; {found}"
        return Suggestion(said, options)

    def files(self, listing: Listing) -> ImageFiles:
        """How the pictures of a listing are read."""
        return ImageFiles(listing.paths, self.bits)

    def augmentation(self) -> A.Compose:
        """What happens to training pictures."""
        flip = [A.HorizontalFlip(p=0.5)] if self.flip else []
        return A.Compose([*self._crop(), *flip, *self._policy, *self._erasing])

    def preparation(self, size: int) -> A.Compose:
        """What happens to all other pictures, so that their height and width become ``size``."""
        return A.Compose([self._resized(size), A.CenterCrop(size, size)])

    def _resized(self, size: int) -> A.BasicTransform:
        return self._short_side(max(size, round(size * self.resize / self.size)))

    def _crop(self) -> list[A.BasicTransform]:
        if self.scale is None:
            return [self._short_side(self.resize), A.RandomCrop(self.size, self.size)]
        crop = DecodingCrop if self.decode else A.RandomResizedCrop
        return [crop((self.size, self.size), scale=self.scale, interpolation=cv2.INTER_AREA)]

    def _short_side(self, length: int) -> A.BasicTransform:
        resize = DecodingShortSide if self.decode else A.SmallestMaxSize
        # Where a picture shrinks, the only interpolation that does not alias.
        return resize(length, interpolation=cv2.INTER_AREA)


def five_crops(picture: Pixels, size: int) -> Pixels:
    """The middle and the four corners of a picture ``(H, W, C)``, as ``(5, size, size, C)``."""
    height, width = picture.shape[0] - size, picture.shape[1] - size
    corners = [(height // 2, width // 2), (0, 0), (0, width), (height, 0), (height, width)]
    return np.stack([picture[top : top + size, left : left + size] for top, left in corners])

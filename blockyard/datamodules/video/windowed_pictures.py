"""Pictures that networks of videos see window by window."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any, ClassVar

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.class_folders import ClassFolders
from blockyard.datamodules.images import PICTURES, ImageFiles, Images
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.datamodules.loading import Batch, Column
from blockyard.datamodules.picture_options import PictureOptions
from blockyard.datamodules.video.sliding_windows import SlidingWindows
from blockyard.media.picture_files import Pixels
from blockyard.mistakes import DataError

Found = tuple[Sequence[Pixels], NDArray[np.integer[Any]] | None, Sequence[str]]
"""The pictures of a split, their labels if they are known, and their names."""


class PictureClips(Images):
    """Pictures of any size as clips of their windows; of new ones, one that can't be read is not ``valid``.

    Args:
        found: The pictures.
        transform: albumentations pipeline of whole pictures.
        windows: How a picture becomes a clip.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
    """

    def __init__(
        self,
        found: Found,
        transform: A.Compose | None,
        windows: SlidingWindows,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        pictures, targets, names = found
        super().__init__(pictures, targets, names, transform, mean, std, windows.cut)
        self.lenient = targets is None
        self._blank = np.zeros((windows.frames, windows.size, windows.size, len(mean)), np.uint8)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(T, size, size, C)``, whether it is ``valid``, and ``target`` if there are labels.

        Raises:
            DataError: If a picture with a label can't be read.
        """
        try:
            return {**super().__getitem__(index), "valid": True}
        except DataError:
            if not self.lenient:
                raise
            return {"input": self._blank, "valid": False}

    def problem(self, position: int) -> str | None:
        """What is wrong with a picture, new ones included; its file is checked beyond whether it opens."""
        strict = copy(self)
        strict.lenient = False
        return super(PictureClips, strict).problem(position)

    def described(self) -> Iterator[Column]:
        """Labels, and pixels that are held in memory."""
        yield from super().described()
        if isinstance(self.images, list):
            yield from self.images

    def collate(self, samples: list[dict[str, Any]]) -> Batch:
        """Stack to float ``(B, C, T, size, size)`` and normalise."""
        batch = super().collate(samples)
        return batch | {"input": batch["input"].transpose(1, 2).contiguous()}


class WindowDataModule(LabelledDataModule):
    """Pictures of any size as clips of ``rows`` × ``columns`` windows, whose overlap depends on the picture's size.

    See :class:`~blockyard.datamodules.video.sliding_windows.SlidingWindows`. Batches have ``valid`` as those of videos.

    Args:
        size: Height and width of a window.
        rows: Rows of windows.
        columns: Windows of a row.
        flip: Whether training pictures are flipped horizontally at random.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    samples_are: ClassVar[str] = "videos with a class"
    mean: Any
    std: Any

    def __init__(self, size: int = 64, rows: int = 4, columns: int = 4, flip: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.windows = SlidingWindows(size, rows, columns)
        self.flip = flip

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(C, rows · columns, size, size)``."""
        return (len(self.mean), self.windows.frames, self.windows.size, self.windows.size)

    @abstractmethod
    def pictures(self, split: str) -> Found:
        """The pictures of a split, each uint8 ``(H, W, C)``.

        Raises:
            DataError: If something is missing or is not what it should be.
        """

    def load(self, split: str) -> PictureClips:
        """List a split; pictures that are files are read when asked for."""
        flip = A.Compose([A.HorizontalFlip(p=0.5)]) if split == "train" and self.flip else None
        return PictureClips(self.pictures(split), flip, self.windows, self.mean, self.std)


class WindowedPictures(ClassFolders, PictureOptions, WindowDataModule):
    """Pictures in ``root/{train,val,test}/<class>/``, of any size, as clips of their windows.

    Arguments are those of :class:`~blockyard.datamodules.class_folders.ClassFolders`,
    :class:`~blockyard.datamodules.picture_options.PictureOptions` and :class:`WindowDataModule`.

    Args:
        predict_path: A picture for ``predict``, a folder with some at any depth, or several of either; None means
            ``root/predict``.
        options: Those named above.
    """

    kind = PICTURES

    def __init__(self, *, predict_path: str | list[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.predict_path = predict_path

    def pictures(self, split: str) -> Found:
        """The pictures of a split's folder, class by class."""
        new = split == "predict" and self.predict_path
        listing = PICTURES.find_new(self.predict_path) if new and self.predict_path else self.files_of(split)
        return ImageFiles(listing.paths, self.bits), listing.targets, listing.names

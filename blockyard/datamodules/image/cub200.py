"""Caltech-UCSD Birds-200-2011 in its published layout."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.images import ImageFiles, Pixels
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.published import check_counts
from blockyard.media.picture_files import turn, turn_back
from blockyard.mistakes import DataError
from blockyard.publishers.sets import how_to_get

FOLDER = "CUB_200_2011"
PUBLISHED = {"classes": 200, "training pictures": 5994, "test pictures": 5794}
Box = tuple[float, ...]


class CUB200(ImageDataModule):
    """CUB-200-2011: 5,994 training and 5,794 test pictures of 200 kinds of birds.

    Read from ``root/CUB_200_2011``: ``images.txt``, ``image_class_labels.txt``, ``train_test_split.txt`` and
    ``classes.txt``, joined by the number of the picture. Validation has no published split: the last ``val_fraction``
    of each class's training pictures, in the order of the list, are held out; 0 trains on all, as published results
    did, and leaves validation empty.

    Some of the test pictures are among ImageNet's training pictures, as the publisher warns: a network that was trained
    there has seen them.

    Args:
        root: Folder that contains ``CUB_200_2011``.
        val_fraction: Share of the training pictures held out for validation.
        crop_boxes: Whether all pictures are cut to the bird's bounding box first. In a test that is another protocol
            than the usual one.
        verify: Whether the counts must be the published ones. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`, here 448 pixels by default.

    Raises:
        ValueError: If a number is out of range.
    """

    published_classes: ClassVar[int] = PUBLISHED["classes"]

    def __init__(
        self,
        root: str = "data",
        val_fraction: float = 0.1,
        crop_boxes: bool = False,
        verify: bool = True,
        size: int = 448,
        **options: Any,
    ) -> None:
        super().__init__(size=size, **options)
        if not 0 <= val_fraction < 1:
            raise ValueError(f"CUB200: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.val_fraction, self.crop_boxes, self.verify = val_fraction, crop_boxes, verify

    @cached_property
    def classes(self) -> list[str]:
        """Folder names such as ``001.Black_footed_Albatross``, in the order of their numbers."""
        found = self._table("classes.txt", 2)
        check_counts(self._folder / "classes.txt", {"classes": len(found)}, PUBLISHED, self.verify)
        if list(found) != list(range(1, len(found) + 1)):
            raise DataError(f"{self._folder / 'classes.txt'}: classes numbered from 1 without gaps expected")
        return [title for (title,) in found.values()]

    def pictures(self, split: str) -> Listing:
        """The pictures of a split, by number."""
        if split in ("test", "predict"):
            return self._part(training=False)
        listing = self._part(training=True)
        assert listing.targets is not None
        return listing.take(hold_out(listing.targets, self.val_fraction, self.classes)[split == "val"])

    def files(self, listing: Listing) -> ImageFiles:
        """Pictures as they are or, with ``crop_boxes``, cut to the bird; those to predict have no boxes."""
        if not self.crop_boxes or listing.targets is None:
            return ImageFiles(listing.paths, self.bits)
        boxes = self._table("bounding_boxes.txt", 5)
        return BoxedFiles(listing.paths, [self._box(boxes, self._images[name]) for name in listing.names], self.bits)

    def _part(self, training: bool) -> Listing:
        labels, flags = self._table("image_class_labels.txt", 2), self._table("train_test_split.txt", 2)
        chosen = [
            (name, self._number("image_class_labels.txt", labels, number) - 1)
            for name, number in self._images.items()
            if self._number("train_test_split.txt", flags, number) == training
        ]
        targets = np.array([label for _, label in chosen], dtype=np.intp)
        if not chosen or targets.min() < 0 or targets.max() >= self.num_classes:
            raise DataError(f"{self._folder / 'image_class_labels.txt'}: a class is not one of 1 to {self.num_classes}")
        kind = "training pictures" if training else "test pictures"
        check_counts(self._folder / "train_test_split.txt", {kind: len(chosen)}, PUBLISHED, self.verify)
        return Listing([self._folder / "images" / name for name, _ in chosen], [name for name, _ in chosen], targets)

    @cached_property
    def _images(self) -> dict[str, int]:
        """Number of each picture."""
        listed = {name: number for number, (name,) in self._table("images.txt", 2).items()}
        for name in listed:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts:  # it becomes part of a path
                raise DataError(f"{self._folder / 'images.txt'}: a picture in a class folder expected, found {name!r}")
        return listed

    @property
    def _folder(self) -> Path:
        return self.root / FOLDER

    def _number(self, file: str, table: dict[int, list[str]], image: int) -> int:
        try:
            return int(table[image][0])
        except (KeyError, ValueError) as error:
            raise DataError(f"{self._folder / file}: no whole number for picture {image}") from error

    def _box(self, boxes: dict[int, list[str]], image: int) -> Box:
        try:
            return tuple(float(value) for value in boxes[image])
        except (KeyError, ValueError) as error:
            raise DataError(f"{self._folder / 'bounding_boxes.txt'}: no box of picture {image}") from error

    def _table(self, name: str, columns: int) -> dict[int, list[str]]:
        """The lines of a file by the number that each begins with."""
        file = self._folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing: {how_to_get('cub200', self.root)}")
        lines = [line for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        rows = [line.split(maxsplit=columns - 1) for line in lines]
        if wrong := [row for row in rows if len(row) != columns or not row[0].isdecimal()]:
            raise DataError(f"{file}: a number and {columns - 1} more a line expected, found {' '.join(wrong[0])!r}")
        table = {int(row[0]): [value.strip() for value in row[1:]] for row in rows}
        if len(table) < len(rows):
            raise DataError(f"{file}: a number is there twice")
        return table


class BoxedFiles(ImageFiles):
    """Picture files cut to a box each.

    Args:
        paths: The files.
        boxes: Of each the left and upper edge, width and height, in pixels as stored, before any turn upright.
        bits: As of :class:`ImageFiles`.
    """

    def __init__(self, paths: Sequence[Path], boxes: Sequence[Box], bits: int | None = None) -> None:
        super().__init__(paths, bits)
        self.boxes: NDArray[np.float64] = np.array(boxes, dtype=np.float64).reshape(-1, 4)

    def read(self, index: int) -> tuple[Pixels, int]:
        """Decode one file, uint8 ``(h, w, 3)``, and tell its orientation tag.

        Raises:
            DataError: If it is damaged, or the box lies outside.
        """
        upright, tag = super().read(index)
        image = turn_back(upright, tag)
        left, top, width, height = self.boxes[index].round().astype(int)
        part = image[max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)]
        if not part.size:
            raise DataError(f"{self.paths[index]}: its box {self.boxes[index].tolist()} lies outside the picture")
        return turn(part, tag), tag

    def size(self, index: int) -> None:
        """None: a box is cut from the whole picture."""

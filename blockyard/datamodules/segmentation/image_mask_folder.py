"""Any segmentation data set with one mask a picture, in two folders."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.listing import Listing
from blockyard.datamodules.segmentation.mask_layouts import find_pairs, places, without_masks
from blockyard.datamodules.segmentation.masks import IGNORE, LARGEST, Colour, class_labels, reduce_zero, voc_palette
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.mistakes import DataError

COLOUR = re.compile(r"(?P<name>.*?\S)(?:\s+#(?P<colour>[0-9a-fA-F]{6}))?")


class ImageMaskFolder(SegmentationDataModule):
    """Pictures in ``root/images/{train,val,test}``, masks of the same names in ``root/masks/{train,val,test}``.

    Or in ``root/{train,val,test}/images`` and ``root/{train,val,test}/masks``; with ``mask_suffix`` also all in
    ``root/{train,val,test}``. Of any size and at any depth: ``images/train/a/b.jpg`` has its mask in
    ``masks/train/a/b.png``. A mask holds one class index a pixel, grey or with a palette; 255 is ignored. The classes
    are those of ``class_names``, or the lines of ``root/classes.txt`` in the order of their indices, each a name and,
    optionally, a colour: ``road #804080``. Where all have one, or with ``colours``, masks of colours without a palette
    are read too. A test where no file names the classes takes those of the checkpoint. Without a folder ``val``,
    ``val_fraction`` of the training pictures, every n-th, are for validation.

    Args:
        root: Folder of the data.
        class_names: Names of the classes; None reads ``root/classes.txt``.
        values: Of each class, in their order, its value in the mask files, such as ``[0, 255]`` of masks in black and
            white, or up to 65535 in masks of 16 bits; None means 0, 1, …. Any other value, but 255, is refused.
        mask_suffix: What the name of a mask has after that of its picture, such as ``_mask``: ``cat.jpg`` then has its
            mask in ``cat_mask.png``.
        colours: A file with a line for each class, ``128 64 128 road``, in place of ``root/classes.txt``, relative to
            ``root`` unless absolute; of a line without a name the colour is ignored.
        reduce_zero_label: Whether 0 in a mask is ignored and 1, 2, … are the first, second, … class.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`;
            ``predict_folder`` None means ``root/predict``.

    Raises:
        ValueError: If a number is out of range, or if options say twice what classes are.
    """

    laid_out = "DIR/{images,masks}/train and DIR/classes.txt"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """The folders of pictures and masks to train on."""
        folders = places(root, "train", None)
        return [str(folder.relative_to(root)) for folder in folders] if all(map(Path.is_dir, folders)) else []

    hint = "; --data.values [0,255] says which value each class has, --data.colours FILE which colour"
    remedy = "; where it is a class, list the value of each class, such as --data.values [0,255]"

    def __init__(
        self,
        root: str,
        class_names: list[str] | None = None,
        reduce_zero_label: bool = False,
        values: list[int] | None = None,
        mask_suffix: str | None = None,
        colours: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self.class_names = class_names
        if values is not None and (
            reduce_zero_label or len(set(values)) < len(values) or not all(0 <= value <= LARGEST for value in values)
        ):
            raise ValueError(f"values={values} must be different numbers of 0 to {LARGEST}, without reduce_zero_label")
        if colours is not None and (reduce_zero_label or values is not None or class_names is not None):
            raise ValueError(f"colours={colours} names the classes: without class_names, values and reduce_zero_label")
        self.reduce_zero_label = reduce_zero_label
        self.values = values
        self.mask_suffix = mask_suffix
        self.table = self.root / colours if colours is not None else None

    @property
    def tells_classes(self) -> bool:
        """Whether an option or a file names the classes."""
        return self.class_names is not None or (self.table or self.root / "classes.txt").is_file()

    @property
    def is_test_alone(self) -> bool:
        """Whether there are pictures of ``test`` and none of ``train``, whoever names the classes."""
        train, test = (places(self.root, split, self.mask_suffix)[0].is_dir() for split in ("train", "test"))
        return test and not train

    @property
    def _taken(self) -> Vocabulary | None:
        """What a checkpoint says where the data don't."""
        return None if self.tells_classes else self.trained

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their indices."""
        return list(self._taken.classes) if self._taken else [name for name, _ in self._described]

    @property
    def colours(self) -> Mapping[Colour, int] | None:
        """Colours to labels, if each class has one."""
        if self.table is not None and self.tells_classes:
            named, ignored = self._coloured
            return {colour: label for label, (_, colour) in enumerate(named)} | dict.fromkeys(ignored, IGNORE)
        if self.table is not None or (not self._taken and all(colour for _, colour in self._described)):
            return {colour: label for label, colour in enumerate(self.palette)}
        return None

    @property
    def palette(self) -> list[Colour]:
        """The colours of the classes' file; for a class without one, Pascal VOC's."""
        if self._taken:
            return list(self._taken.palette)
        usual = voc_palette(self.num_classes)
        return [colour or other for (_, colour), other in zip(self._described, usual, strict=True)]

    @property
    def labels(self) -> Mapping[int, int]:
        """Class indices, or the values given, to labels.

        Raises:
            DataError: If not each class has a value.
        """
        if self._taken:
            return dict(self._taken.labels)
        if self.values is not None:
            if len(self.values) != self.num_classes:
                raise DataError(f"values={self.values}: {self.num_classes} expected, one a class")
            return {IGNORE: IGNORE} | {value: label for label, value in enumerate(self.values)}
        if self.reduce_zero_label:
            return {**reduce_zero(self.num_classes), IGNORE: IGNORE}
        return class_labels(self.num_classes)

    def list_files(self, split: str) -> Listing:
        """The pictures of a split's folder, sorted by path, with their masks."""
        if split == "predict":
            return self.list_new(self.root / "predict")
        if split == "test" or places(self.root, "val", self.mask_suffix)[0].is_dir():
            return find_pairs(self.root, split, self.mask_suffix)
        return self.hold_out(find_pairs(self.root, "train", self.mask_suffix), split)

    def list_new(self, places: str | Path | list[str]) -> Listing:
        """List the pictures that ``predict`` is given, without the masks that lie beside them."""
        found = super().list_new(places)
        return without_masks(found, self.mask_suffix) if self.mask_suffix else found

    @cached_property
    def _described(self) -> list[tuple[str, Colour | None]]:
        if self.table is not None:
            return list(self._coloured[0])
        file = self.root / "classes.txt"
        if self.class_names is None and not file.is_file():
            raise DataError(f"{file} is missing: one class a line, in the order of their indices; or give class_names")
        lines = file.read_text(encoding="utf-8").splitlines() if self.class_names is None else self.class_names
        described = [_describe(line) for line in lines if line.strip()]
        check_names(file, [name for name, _ in described], IGNORE - self.reduce_zero_label)
        return described

    @cached_property
    def _coloured(self) -> tuple[list[tuple[str, Colour]], list[Colour]]:
        """Names and colours of the classes, and colours that are ignored."""
        assert self.table is not None
        named, ignored = read_colour_table(self.table)
        check_names(self.table, [name for name, _ in named], IGNORE)
        return named, ignored


def check_names(file: Path, names: Sequence[str], most: int) -> None:
    """Make sure that names of classes are different, at least two, and not too many.

    Raises:
        DataError: If they are not; ``file`` is what the message names.
    """
    if not 2 <= len(names) <= most:
        raise DataError(f"{file}: 2 to {most} classes expected, found {len(names)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{file}: class {twice[0]} is there twice")


def read_colour_table(file: Path) -> tuple[list[tuple[str, Colour]], list[Colour]]:
    """Names and colours of classes from lines such as ``128 64 128 road``, and the colours without a name.

    Raises:
        DataError: If the file is missing, a line is none of these, or a colour is there twice.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing: a line for each class, such as 128 64 128 road")
    found: dict[Colour, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        parts = re.fullmatch(r"(\d+)[\s,]+(\d+)[\s,]+(\d+)(?:[\s,]+(.*))?", line.strip())
        red, green, blue = (int(parts[place]) for place in (1, 2, 3)) if parts else (IGNORE + 1, 0, 0)
        if line.strip() and max(red, green, blue) > IGNORE:
            raise DataError(f"{file}, line {number}: '128 64 128 road' or the like expected, not {line.strip()!r}")
        if parts and (red, green, blue) in found:
            raise DataError(f"{file}, line {number}: colour {(red, green, blue)} is there twice")
        if parts:
            found[red, green, blue] = (parts[4] or "").strip()
    named = [(name, colour) for colour, name in found.items() if name]
    return named, [colour for colour, name in found.items() if not name]


def _describe(line: str) -> tuple[str, Colour | None]:
    found = COLOUR.fullmatch(line.strip())
    assert found is not None
    if found["colour"] is None:
        return found["name"], None
    red, green, blue = bytes.fromhex(found["colour"])
    return found["name"], (red, green, blue)

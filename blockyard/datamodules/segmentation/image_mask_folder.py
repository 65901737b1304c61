"""Any segmentation data set with one mask a picture, in two folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from blockyard.datamodules.folders import LeftOut
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.listing import Listing
from blockyard.datamodules.segmentation.masks import IGNORE, Colour, class_labels, reduce_zero, voc_palette
from blockyard.mistakes import DataError

COLOUR = re.compile(r"(?P<name>.*?\S)(?:\s+#(?P<colour>[0-9a-fA-F]{6}))?")


class ImageMaskFolder(SegmentationDataModule):
    """Pictures in ``root/images/{train,val,test}``, masks of the same names in ``root/masks/{train,val,test}``.

    Of any size and at any depth: ``images/train/a/b.jpg`` has its mask in ``masks/train/a/b.png``. A mask holds one
    class index a pixel, grey or with a palette; 255 is ignored. The classes are those of ``class_names``, or the lines
    of ``root/classes.txt`` in the order of their indices, each a name and, optionally, a colour: ``road #804080``.
    Without an ``images/val`` folder, ``val_fraction`` of the training pictures, every n-th, are for validation.

    Args:
        root: Folder with ``images`` and ``masks`` in it.
        class_names: Names of the classes; None reads ``root/classes.txt``.
        values: Of each class, in their order, its value in the mask files, such as ``[0, 255]`` of masks in black and
            white; None means 0, 1, …. Any other value, but 255, is refused.
        reduce_zero_label: Whether 0 in a mask is ignored and 1, 2, … are the first, second, … class.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`;
            ``predict_folder`` None means ``root/predict``.

    Raises:
        ValueError: If a number is out of range.
    """

    remedy = "; where it is a class, list the value of each class, such as --data.values [0,255]"

    def __init__(
        self,
        root: str,
        class_names: list[str] | None = None,
        reduce_zero_label: bool = False,
        values: list[int] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self.class_names = class_names
        if values is not None and (
            reduce_zero_label or len(set(values)) < len(values) or not all(0 <= value <= IGNORE for value in values)
        ):
            raise ValueError(f"values={values} must be different numbers of 0 to {IGNORE}, without reduce_zero_label")
        self.reduce_zero_label = reduce_zero_label
        self.values = values

    @property
    def classes(self) -> list[str]:
        """Names of the classes, in the order of their indices."""
        return [name for name, _ in self._described]

    @property
    def palette(self) -> list[Colour]:
        """The colours of ``classes.txt``; for a class without one, Pascal VOC's."""
        usual = voc_palette(self.num_classes)
        return [colour or other for (_, colour), other in zip(self._described, usual, strict=True)]

    @property
    def labels(self) -> Mapping[int, int]:
        """Class indices, or the values given, to labels.

        Raises:
            DataError: If not each class has a value.
        """
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
            return Listing.of_folder(self.root / "predict")
        if split == "test" or (self.root / "images" / "val").is_dir():
            return self._pairs(split)
        return self.hold_out(self._pairs("train"), split)

    @cached_property
    def _described(self) -> list[tuple[str, Colour | None]]:
        file = self.root / "classes.txt"
        if self.class_names is None and not file.is_file():
            raise DataError(f"{file} is missing: one class a line, in the order of their indices; or give class_names")
        lines = file.read_text(encoding="utf-8").splitlines() if self.class_names is None else self.class_names
        described = [_describe(line) for line in lines if line.strip()]
        names = [name for name, _ in described]
        if not 2 <= len(names) <= IGNORE - self.reduce_zero_label:
            raise DataError(f"{file}: 2 to {IGNORE - self.reduce_zero_label} classes expected, found {len(names)}")
        if twice := [name for name in names if names.count(name) > 1]:
            raise DataError(f"{file}: class {twice[0]} is there twice")
        return described

    def _pairs(self, part: str) -> Listing:
        files, masks = (Listing.of_folder(self.root / kind / part) for kind in ("images", "masks"))
        mask_of = {_stem(name): path for path, name in zip(masks.images, masks.names, strict=True)}
        stems = [_stem(name) for name in files.names]
        if lacking := [name for name, stem in zip(files.names, stems, strict=True) if stem not in mask_of]:
            where = f"{self.root / 'masks' / part}: {len(lacking)} of {len(stems)} pictures"
            raise DataError(f"{where} have no mask of the same name, the first is {lacking[0]}")
        if len(set(stems)) < len(stems):
            twice = next(stem for stem, following in pairwise(sorted(stems)) if stem == following)
            raise DataError(f"{self.root / 'images' / part}: two pictures {twice}.* would have the same mask")
        left = LeftOut()
        for stem in sorted(mask_of.keys() - set(stems)):
            left.add("masks without a picture", stem)
        left.tell(self.root / "masks" / part, "mask")
        return Listing(files.images, [mask_of[stem] for stem in stems], files.names)


def _stem(name: str) -> str:
    return Path(name).with_suffix("").as_posix()


def _describe(line: str) -> tuple[str, Colour | None]:
    found = COLOUR.fullmatch(line.strip())
    assert found is not None
    if found["colour"] is None:
        return found["name"], None
    red, green, blue = bytes.fromhex(found["colour"])
    return found["name"], (red, green, blue)

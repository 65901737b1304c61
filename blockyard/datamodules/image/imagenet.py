"""ImageNet-1k (ILSVRC 2012) in the forms it is passed on in, and its corrupted copy ImageNet-C."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.class_folders import labelled_files, training_classes
from blockyard.datamodules.folders import LeftOut, folders_in
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.image.corruptions import SEVERITIES, check_corruption
from blockyard.datamodules.images import PICTURES
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.matlab import read_records
from blockyard.datamodules.published import check_counts
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["imagenet"].page
KAGGLE = "ILSVRC/Data/CLS-LOC"
DEVKIT, META, TRUTH = "ILSVRC2012_devkit_t12", "data/meta.mat", "data/ILSVRC2012_validation_ground_truth.txt"
SOLUTION = "LOC_val_solution.csv"
PUBLISHED = {"classes": 1000, "training pictures": 1_281_167, "validation pictures": 50_000}
REMEDY = (
    f"unpack ILSVRC2012_devkit_t12.tar.gz from {PAGE} beside it, or put {SOLUTION} of the Kaggle form there, or sort "
    "the pictures into one folder a class"
)


class ImageNet(ImageDataModule):
    """ImageNet-1k: 1,281,167 training and 50,000 validation pictures of 1,000 classes.

    Read from ``root/train/<wnid>`` and ``root/val``, or in the Kaggle form from ``root/ILSVRC/Data/CLS-LOC``. ``val``
    may have one folder a class, or be flat, as it is published: then the labels are those of ``LOC_val_solution.csv``
    or of the development kit (``ILSVRC2012_devkit_t12``, which takes scipy); without either it is refused. A class is
    its WordNet id, for human names repeat; its label is its position among the sorted ids, as in published networks.

    The labels of the published test split are kept by its server, so the published *validation* split is the test
    split here, as in the literature. Validation is the last ``val_size / 1000`` training pictures of each class, in the
    order of their names.

    ``corruption`` and ``severity`` test on ImageNet-C (Hendrycks and Dietterich, ICLR 2019) in place of the clean
    pictures: ``root/ImageNet-C/<corruption>/<severity>/<wnid>``. They are cut to 224×224 already and taken whole.

    Args:
        root: Folder with ``train`` and ``val``, or ``ILSVRC``, in it.
        val_size: Training pictures held out for validation, in total; 0 trains on all of them.
        verify: Whether the counts must be the published ones. False reads other data in the same layout.
        corruption: What the test pictures were corrupted by, such as ``fog``; None tests on the clean ones.
        severity: From 1 to 5; None tests on all of them together.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.

    Raises:
        ValueError: If a number is out of range, or there is no such corruption.
    """

    published_classes: ClassVar[int] = PUBLISHED["classes"]
    evaluation_options: ClassVar[tuple[str, ...]] = (*ImageDataModule.evaluation_options, "corruption", "severity")

    def __init__(
        self,
        root: str = "data/imagenet",
        val_size: int = 10_000,
        verify: bool = True,
        corruption: str | None = None,
        severity: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if val_size < 0:
            raise ValueError(f"ImageNet: val_size={val_size} must not be negative")
        check_corruption(corruption, severity)
        if corruption and self.crops:
            raise ValueError("ImageNet: pictures of ImageNet-C are taken whole; give corruption or crops, not both")
        self.root = Path(root)
        self.val_size, self.verify = val_size, verify
        self.corruption, self.severity = corruption, severity

    @cached_property
    def folder(self) -> Path:
        """Where ``train`` and ``val`` are.

        Raises:
            DataError: If they are nowhere.
        """
        for place in (self.root, self.root / KAGGLE):
            if (place / "train").is_dir():
                return place
        raise DataError(
            f"{self.root / 'train'} is missing, and so is {self.root / KAGGLE}: get ILSVRC 2012 from {PAGE}, which "
            f"takes an account, and unpack it to {self.root}/train/<wnid>/*.JPEG and {self.root}/val"
        )

    @cached_property
    def classes(self) -> list[str]:
        """WordNet ids, sorted."""
        found = training_classes(self.folder, PICTURES)
        if wrong := [name for name in found if not re.fullmatch(r"n\d{8}", name)]:
            raise DataError(f"{self.folder / 'train'}: folders named like n01440764 expected, found {wrong[0]}")
        check_counts(self.folder / "train", {"classes": len(found)}, PUBLISHED, self.verify)
        return found

    def pictures(self, split: str) -> Listing:
        """Training pictures by class and name; validation pictures by class or, where they lie flat, by number."""
        if split in ("test", "predict"):
            return self._corrupted() if self.corruption else self._published_validation
        listing = self._training
        assert listing.targets is not None
        if self.val_size % self.num_classes:
            raise DataError(f"val_size={self.val_size} must be a multiple of the {self.num_classes} classes")
        return listing.take(hold_out(listing.targets, self.val_size // self.num_classes, self.classes)[split == "val"])

    def preparation(self, size: int) -> A.Compose:
        """The usual middle crop; pictures of ImageNet-C are whole already."""
        if self.corruption is None:
            return super().preparation(size)
        shrink = A.SmallestMaxSize(size, interpolation=cv2.INTER_AREA)
        return A.Compose([shrink, A.CenterCrop(size, size)])

    @cached_property
    def _training(self) -> Listing:
        listing = labelled_files(self.folder / "train", self.classes, PICTURES)
        check_counts(self.folder / "train", {"training pictures": len(listing.paths)}, PUBLISHED, self.verify)
        return listing

    @cached_property
    def _published_validation(self) -> Listing:
        folder = self.folder / "val"
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: unpack ILSVRC2012_img_val.tar from {PAGE} there")
        flat = not folders_in(folder, LeftOut(), "")
        listing = self._flat(folder) if flat else labelled_files(folder, self.classes, PICTURES)
        check_counts(folder, {"validation pictures": len(listing.paths)}, PUBLISHED, self.verify)
        return listing

    def _flat(self, folder: Path) -> Listing:
        found = PICTURES.find(folder)
        numbers = [re.fullmatch(r"ILSVRC2012_val_(\d{8})\.JPEG", name) for name in found.names]
        if wrong := [name for name, number in zip(found.names, numbers, strict=True) if not number]:
            raise DataError(f"{folder / wrong[0]}: in a flat folder, ILSVRC2012_val_00000001.JPEG and so on expected")
        for solution in (self.root / SOLUTION, folder.parent / SOLUTION):
            if solution.is_file():
                wnid_of = _read_solution(solution)
                wnids = [wnid_of.get(name.removesuffix(".JPEG")) for name in found.names]
                return Listing(found.paths, found.names, self._labels(solution, found.names, wnids))
        for devkit in (self.root / DEVKIT, folder.parent / DEVKIT):
            if devkit.is_dir():
                truth = _read_devkit(devkit)
                rows = [int(number[1]) - 1 for number in numbers if number]
                wnids = [truth[row] if 0 <= row < len(truth) else None for row in rows]
                return Listing(found.paths, found.names, self._labels(devkit / TRUTH, found.names, wnids))
        raise DataError(f"{folder} is flat, and nothing says which class its pictures are of: {REMEDY}")

    def _labels(self, source: Path, names: Sequence[str], wnids: Sequence[str | None]) -> np.ndarray:
        label_of = {wnid: label for label, wnid in enumerate(self.classes)}
        for name, wnid in zip(names, wnids, strict=True):
            if wnid not in label_of:
                problem = f"has no label of {name}" if wnid is None else f"says {name} is {wnid}, not a class of train"
                raise DataError(f"{source} {problem}")
        return np.array([label_of[wnid] for wnid in wnids if wnid is not None])

    def _corrupted(self) -> Listing:
        parts = []
        for severity in SEVERITIES if self.severity is None else [self.severity]:
            folder = self.root / "ImageNet-C" / str(self.corruption) / str(severity)
            if not folder.is_dir():
                raise DataError(f"{folder} is missing: get ImageNet-C from https://zenodo.org/record/2235448")
            part = labelled_files(folder, self.classes, PICTURES)
            check_counts(folder, {"validation pictures": len(part.paths)}, PUBLISHED, self.verify)
            parts.append(Listing(part.paths, [f"{severity}/{name}" for name in part.names], part.targets))
        return Listing(
            [path for part in parts for path in part.paths],
            [name for part in parts for name in part.names],
            np.concatenate([part.targets for part in parts if part.targets is not None]),
        )


def _read_solution(file: Path) -> dict[str, str]:
    """WordNet id of each picture: the first word of ``PredictionString``, a box follows."""
    with file.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        if not {"ImageId", "PredictionString"} <= set(rows.fieldnames or ()):
            raise DataError(f"{file}: columns ImageId and PredictionString expected")
        return {row["ImageId"]: (row["PredictionString"] or "").partition(" ")[0] for row in rows}


def _read_devkit(devkit: Path) -> list[str]:
    """WordNet id of each validation picture by number; the ids of the ground truth are of ``meta.mat``."""
    hint = f"unpack ILSVRC2012_devkit_t12.tar.gz from {PAGE} again"
    records = read_records(devkit / META, "synsets", ("ILSVRC2012_ID", "WNID", "num_children"), hint)
    wnid_of = {str(number): str(wnid) for number, wnid, children in records if children == 0}
    truth = devkit / TRUTH
    if not truth.is_file():
        raise DataError(f"{truth} is missing: {hint}")
    numbers = truth.read_text(encoding="ascii").split()
    if unknown := [number for number in numbers if number not in wnid_of]:
        raise DataError(f"{truth}: {unknown[0]!r} is no class of {META}: {hint}")
    return [wnid_of[number] for number in numbers]

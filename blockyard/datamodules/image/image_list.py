"""Pictures named in list files, a line a picture."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.class_folders import check_known
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.images import PICTURES
from blockyard.datamodules.listing import Listing, check_files
from blockyard.datamodules.tables import check_agreement, sorted_labels
from blockyard.mistakes import DataError, nearest

LINE = re.compile(r"(.*\S)\s*\t\s*(\S.*)")
PLAIN = re.compile(r"(.*[^\s,])[\s,]+([^\s,]+)")
"""A path and a label: after the last tab, or where there is none after the last blank or comma."""


@dataclass(frozen=True)
class Listed:
    """The lines of a list: paths, labels, and their numbers in the file."""

    paths: list[str]
    labels: list[str]
    numbers: list[int]


class ImageList(ImageDataModule):
    """Pictures in ``root`` by the lists ``train.txt``, ``val.txt`` and ``test.txt``, with lines such as ``a/b.jpg 3``.

    A line is a path relative to ``root``, in which there may be blanks, and a label after the last blank, comma or tab;
    after a tab there may be blanks in the label too. Labels are numbers or names. Classes are the sorted labels of the
    training list: as text, or if all are numbers as numbers. A test whose ``root`` has no training list takes the
    classes of the checkpoint.

    Args:
        root: Folder of the pictures.
        train: Training list, relative to ``root`` unless absolute.
        val: Validation list; None takes ``val.txt`` if there is one, and else the last ``val_fraction`` of each class's
            training pictures, in the order of the list.
        test: Test list.
        val_fraction: Share held out for validation where there is no validation list.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`; ``predict_folder`` None means
            ``root/predict``.

    Raises:
        ValueError: If a number is out of range.
    """

    laid_out = "DIR/train.txt, lines such as a/b.jpg 3"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``train.txt``."""
        return ["train.txt"] if (root / "train.txt").is_file() else []

    def __init__(
        self,
        root: str,
        train: str = "train.txt",
        val: str | None = None,
        test: str = "test.txt",
        val_fraction: float = 0.1,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"ImageList: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.lists = {"train": self.root / train, "val": self.root / (val or "val.txt"), "test": self.root / test}
        self.carves = val is None and not self.lists["val"].is_file()
        self.val_fraction = val_fraction

    @property
    def tells_classes(self) -> bool:
        """Whether there is a training list, or no list at all."""
        return self.lists["train"].is_file() or not self.lists["test"].is_file()

    @cached_property
    def classes(self) -> list[str]:
        """Sorted labels of the training list; where there is none, the checkpoint's classes."""
        if self.trained is not None and not self.tells_classes:
            return list(self.trained.classes)
        classes = sorted_labels(self._read("train").labels, self.lists["train"])
        if len(classes) < 2:
            raise DataError(f"{self.lists['train']}: at least two classes expected, found {len(classes)}")
        return classes

    @property
    def shown_classes(self) -> list[str]:
        """Sorted labels of the list to test on."""
        return sorted_labels(self._read("test").labels, self.lists["test"])

    def pictures(self, split: str) -> Listing:
        """The pictures of a list, in its order."""
        if split == "predict":
            return PICTURES.find(self.root / "predict")
        source = "train" if split == "val" and self.carves else split
        listed = self._read(source)
        listing = Listing([self.root / path for path in listed.paths], listed.paths, self._targets(source, listed))
        if split == "test" or not self.carves:
            return listing
        assert listing.targets is not None
        return listing.take(hold_out(listing.targets, self.val_fraction, self.classes)[split == "val"])

    def _targets(self, source: str, listed: Listed) -> NDArray[np.int64]:
        places = {title: place for place, title in enumerate(self.classes)}
        if not self.tells_classes:
            check_known(self.lists[source], listed.labels, self.classes)
        for number, label in zip(listed.numbers, listed.labels, strict=True):
            if label not in places:
                hint = nearest(label, places)
                raise DataError(f"{self.lists[source]}, line {number}: {label!r} is no label of training; {hint}")
        return np.array([places[label] for label in listed.labels], dtype=np.int64)

    def _read(self, source: str) -> Listed:
        file = self.lists[source]
        if not file.is_file():
            raise DataError(f"{file} is missing: a line a picture, such as a/b.jpg 3, or a/b.jpg cat")
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise DataError(f"{file}: not in UTF-8 (byte {error.start}); save it anew in UTF-8") from error
        listed = Listed([], [], [])
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            parts = LINE.fullmatch(line.strip()) or PLAIN.fullmatch(line.strip())
            if parts is None:
                raise DataError(
                    f"{file}, line {number}: a path and a label expected, such as a/b.jpg 3, not {line!r:.80}"
                )
            listed.paths.append(parts[1])
            listed.labels.append(parts[2])
            listed.numbers.append(number)
        if not listed.paths:
            raise DataError(f"{file} lists no picture")
        check_agreement(file, listed.paths, listed.labels, listed.numbers)
        check_files([os.path.join(self.root, path) for path in listed.paths], file)  # noqa: PTH118 - for a million
        return listed

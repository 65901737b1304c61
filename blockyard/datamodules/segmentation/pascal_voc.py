"""Pascal VOC 2012 in its published layout, with the masks that the Semantic Boundaries Dataset adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

from blockyard.datamodules.folders import LeftOut, names_in
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.listing import Listing, check_count, require
from blockyard.datamodules.segmentation.masks import class_labels
from blockyard.mistakes import DataError
from blockyard.publishers.sets import how_to_get

SBD, AUGMENTED = "benchmark_RELEASE/dataset", "SegmentationClassAug"
PUBLISHED = {"train": 1464, "val": 1449, "test": 1456, "SBD train": 8498, "SBD val": 2857, "aug": 9118}
"""Pictures in each list; ``aug`` is what the Semantic Boundaries Dataset adds, so ``trainaug`` has 10,582."""


class PascalVOC(SegmentationDataModule):
    """Pascal VOC 2012: 20 kinds of objects and the background; 1,464 training and 1,449 validation pictures.

    Read from ``root/VOCdevkit/VOC2012``. The truth of the published test split is kept by its server, so the published
    *validation* split is the test split here, as in the literature, and ``val`` is held out from the training pictures:
    every n-th of ``train.txt``, the same whatever ``train_list`` is, so that no choice is made by looking at the test
    split. ``val_fraction=0`` trains on all, without validation, as published results did.

    ``train_list="trainaug"`` adds the 9,118 masks of the Semantic Boundaries Dataset that are neither in VOC's
    training nor in its validation list: the grey PNG files of ``VOC2012/SegmentationClassAug`` where that folder is,
    otherwise the ``.mat`` files of ``root/benchmark_RELEASE/dataset`` (which takes scipy). ``aug`` is those alone.

    ``predict`` without ``predict_folder`` is the published test split where its list is there, otherwise the published
    validation split without its masks.

    Args:
        root: Folder that contains ``VOCdevkit``, and ``benchmark_RELEASE`` if need be.
        train_list: What to train on.
        verify: Whether the lists must have the published counts. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.

    Raises:
        ValueError: If there is no such list, or a number is out of range.
    """

    class_names: ClassVar[tuple[str, ...]] = (
        *("background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
        *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
    )

    def __init__(
        self,
        root: str = "data",
        train_list: Literal["train", "trainaug", "aug"] = "train",
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if train_list not in ("train", "trainaug", "aug"):
            raise ValueError(f"PascalVOC: train_list must be train, trainaug or aug, got {train_list!r}")
        self.root = Path(root)
        self.train_list = train_list
        self.verify = verify

    @property
    def classes(self) -> list[str]:
        """The background and the kinds of objects, in the order of their indices."""
        return list(self.class_names)

    @property
    def labels(self) -> Mapping[int, int]:
        """Each class index as it is, 255 for what is ignored."""
        return class_labels(self.num_classes)

    def list_files(self, split: str) -> Listing:
        """The pictures of a list file, in its order; of the training list those held out or those that stay."""
        if split in ("test", "predict"):
            unlabelled = split == "predict" and self._list_file("test").is_file()
            return self._files(self._read_list("test" if unlabelled else "val"), labelled=not unlabelled)
        own = self.hold_out(self._files(self._read_list("train")), split)
        if split == "val" or self.train_list == "train":
            return own
        added = self._added
        return added if self.train_list == "aug" else own.join(added)

    @cached_property
    def _added(self) -> Listing:
        """What the Semantic Boundaries Dataset adds."""
        known = {*self._read_list("train"), *self._read_list("val")}
        folder = self._voc / AUGMENTED
        if folder.is_dir():
            left, suffix = LeftOut(), ".png"
            stems = [name.removesuffix(suffix) for name in names_in(folder, lambda name: name.endswith(suffix), left)]
            left.tell(folder, "mask")
        else:
            folder, suffix = self._boundaries / "cls", ".mat"
            stems = [name for part in ("train", "val") for name in self._read_boundaries(part)]
        names = sorted(set(stems) - known)
        self._check(folder, "aug", names)
        return self._files(names, masks=folder, suffix=suffix)

    def _files(
        self, names: list[str], labelled: bool = True, masks: Path | None = None, suffix: str = ".png"
    ) -> Listing:
        pictures = [f"{name}.jpg" for name in names]
        voc = self._voc
        folder = masks or voc / "SegmentationClass"
        truth = [folder / f"{name}{suffix}" for name in names] if labelled else []
        files = Listing([voc / "JPEGImages" / name for name in pictures], truth, pictures)
        return require(files, self._how_to_get)

    @property
    def _voc(self) -> Path:
        folder = self.root / "VOCdevkit" / "VOC2012"
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: {self._how_to_get()}")
        return folder

    @property
    def _boundaries(self) -> Path:
        folder = self.root / SBD
        if not folder.is_dir():
            get = how_to_get("sbd", self.root)
            raise DataError(f"neither {self._voc / AUGMENTED} nor {folder} is there: {get}")
        return folder

    def _how_to_get(self) -> str:
        return how_to_get("pascal_voc", self.root)

    def _list_file(self, name: str) -> Path:
        return self._voc / "ImageSets" / "Segmentation" / f"{name}.txt"

    def _read_list(self, name: str) -> list[str]:
        return self._read_names(self._list_file(name), name)

    def _read_boundaries(self, part: str) -> list[str]:
        return self._read_names(self._boundaries / f"{part}.txt", f"SBD {part}")

    def _read_names(self, file: Path, title: str) -> list[str]:
        if not file.is_file():
            raise DataError(f"{file} is missing: {self._how_to_get()}")
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for name in names:
            if Path(name).name != name:  # it becomes part of a path
                raise DataError(f"{file}: names of pictures without folder and suffix expected, found {name!r}")
        self._check(file, title, names)
        return names

    def _check(self, place: Path, title: str, names: Sequence[str]) -> None:
        check_count(place, len(names), PUBLISHED[title], self.verify)

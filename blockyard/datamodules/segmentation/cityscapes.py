"""Cityscapes, fine annotations, in its published layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from blockyard.datamodules.folders import LeftOut, names_below
from blockyard.datamodules.holding_out import hold_out_groups
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.listing import Listing, check_count, require
from blockyard.datamodules.segmentation.masks import IGNORE, Colour, class_labels
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["cityscapes"].page
PICTURES, TRUTH = "leftImg8bit", "gtFine"
CLASSES: tuple[tuple[str, int, Colour], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
"""Name, label id and colour of the 19 classes that are evaluated, in the order of their train ids."""
LABEL_IDS = 34


class Cityscapes(SegmentationDataModule):
    """Cityscapes: street scenes of 2048×1024 from 50 cities, 19 classes; 2,975 training, 500 validation pictures.

    Read from ``root/leftImg8bit/<split>/<city>`` and ``root/gtFine/<split>/<city>``. Label ids (``labelIds``) become
    train ids when they are read, those that are not evaluated 255; where a split has only ``labelTrainIds`` files,
    those are read. The truth of the published test split is kept by its server, so the published *validation* split is
    the test split here, as in the literature, and ``val`` is held out from the training pictures: whole cities, the
    last ones in alphabetical order that make up ``val_fraction``. ``val_fraction=0`` trains on all, without validation,
    as published results did.

    ``predict`` without ``predict_folder`` is the published test split where it is there, otherwise the published
    validation split without its masks.

    Args:
        root: Folder that contains ``leftImg8bit`` and ``gtFine``.
        size: Height and width of a training crop.
        verify: Whether the splits must have the published counts. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {"train": 2975, "val": 500, "test": 1525}

    def __init__(
        self, root: str = "data/cityscapes", size: tuple[int, int] = (512, 1024), verify: bool = True, **options: Any
    ) -> None:
        super().__init__(size, **options)
        self.root = Path(root)
        self.verify = verify
        self._kinds: dict[str, str] = {}

    @property
    def classes(self) -> list[str]:
        """The 19 classes that are evaluated, in the order of their train ids."""
        return [name for name, _, _ in CLASSES]

    @property
    def palette(self) -> list[Colour]:
        """The publisher's colours."""
        return [colour for _, _, colour in CLASSES]

    @property
    def labels(self) -> Mapping[int, int]:
        """Those of the training split."""
        return self.labels_in("train")

    def labels_in(self, split: str) -> Mapping[int, int]:
        """Label ids to train ids, or train ids as they are if that is what the files of the split hold."""
        if self._kind("val" if split == "test" else "train") == "labelTrainIds":
            return class_labels(self.num_classes)
        ids = {label_id: train_id for train_id, (_, label_id, _) in enumerate(CLASSES)}
        # 255 is the licence plate's -1 in files that were made anew.
        return {value: ids.get(value, IGNORE) for value in (*range(LABEL_IDS), IGNORE)}

    def _kind(self, part: str) -> str:
        if part not in self._kinds:
            kinds = ("labelIds", "labelTrainIds")
            found = (kind for kind in kinds if next((self.root / TRUTH / part).glob(f"*/*_{kind}.png"), None))
            self._kinds[part] = next(found, "labelIds")
        return self._kinds[part]

    def list_files(self, split: str) -> Listing:
        """The pictures of a split, by city and name; of the training split those of the cities held out or kept."""
        if split == "predict":
            split = "test" if (self.root / PICTURES / "test").is_dir() else "val"
            return self._files(split, labelled=False)
        if split == "test":
            return self._files("val")
        files = self._files("train")
        cities = [name.partition("/")[0] for name in files.names]
        alike = np.zeros(len(cities), dtype=np.int64)
        return files.take(hold_out_groups(alike, cities, self.val_fraction, ["Cityscapes"])[split == "val"])

    def _files(self, part: str, labelled: bool = True) -> Listing:
        folder = self.root / PICTURES / part
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: {self._how_to_get()}")
        left = LeftOut()
        names = names_below(folder, lambda name: name.endswith(f"_{PICTURES}.png"), left)
        left.tell(folder, "picture")
        check_count(folder, len(names), self.published[part], self.verify)
        masks = [self._mask(part, name) for name in names] if labelled else []
        return require(Listing([folder / name for name in names], masks, names), self._how_to_get)

    def _mask(self, part: str, name: str) -> Path:
        return self.root / TRUTH / part / f"{name.removesuffix(f'{PICTURES}.png')}{TRUTH}_{self._kind(part)}.png"

    def _how_to_get(self) -> str:
        archives = f"{PICTURES}_trainvaltest.zip and {TRUTH}_trainvaltest.zip"
        return f"get {archives} from {PAGE} (registration; its own terms) and unpack them in {self.root}"

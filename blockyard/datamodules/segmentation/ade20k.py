"""The scene parsing benchmark of ADE20K (150 classes) in its published layout."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from blockyard.datamodules.folders import LeftOut, names_in
from blockyard.datamodules.segmentation.ade20k_classes import CLASSES, PALETTE
from blockyard.datamodules.segmentation.base import SegmentationDataModule
from blockyard.datamodules.segmentation.listing import Listing, check_count, require
from blockyard.datamodules.segmentation.masks import Colour, reduce_zero
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["ade20k"].page
ARCHIVE, FOLDER = "ADEChallengeData2016.zip", "ADEChallengeData2016"


class ADE20K(SegmentationDataModule):
    """ADE20K's scene parsing benchmark: 150 classes, 20,210 training and 2,000 validation pictures.

    Read from ``root/ADEChallengeData2016/{images,annotations}/{training,validation}``. In the files 0 is any other
    object and 1 to 150 are the classes; as they are read, 0 becomes 255 (ignored) and 1 to 150 become 0 to 149.

    The truth of the test split is not published, so the published *validation* split is the test split here, as in the
    literature, and ``val`` is held out from the training pictures: every n-th, so that it has all kinds of scenes.
    ``val_fraction=0`` trains on all, without validation, as published results did.

    ``predict`` without ``predict_folder`` is the published validation split without its masks.

    Args:
        root: Folder that contains ``ADEChallengeData2016``.
        verify: Whether the splits must have the published counts. False reads other data in the same layout.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {"training": 20210, "validation": 2000}
    hint = f"; the full ADE20K, with colours or values above 150, is another data set than {FOLDER}"

    def __init__(self, root: str = "data", verify: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)
        self.verify = verify

    @property
    def classes(self) -> list[str]:
        """The 150 classes, most frequent first."""
        return list(CLASSES)

    @property
    def palette(self) -> list[Colour]:
        """The benchmark's colours; two of the classes share one."""
        return list(PALETTE)

    @property
    def labels(self) -> Mapping[int, int]:
        """0 is ignored, 1 to 150 become 0 to 149."""
        return reduce_zero(self.num_classes)

    def list_files(self, split: str) -> Listing:
        """The pictures of a split, sorted by name; of the training pictures those held out or those that stay."""
        if split == "predict":
            return self._files("validation", labelled=False)
        return self._files("validation") if split == "test" else self.hold_out(self._files("training"), split)

    def _files(self, part: str, labelled: bool = True) -> Listing:
        pictures, truth = (self.root / FOLDER / kind / part for kind in ("images", "annotations"))
        if not pictures.is_dir():
            raise DataError(f"{pictures} is missing: {self._how_to_get()}")
        left = LeftOut()
        paths = [pictures / name for name in names_in(pictures, lambda name: name.endswith(".jpg"), left)]
        left.tell(pictures, "picture")
        check_count(pictures, len(paths), self.published[part], self.verify)
        masks = [truth / f"{path.stem}.png" for path in paths] if labelled else []
        return require(Listing(paths, masks, [path.name for path in paths]), self._how_to_get)

    def _how_to_get(self) -> str:
        if (self.root / ARCHIVE).is_file():
            return f"unpack the archive beside it with: unzip {self.root / ARCHIVE} -d {self.root}"
        return f"get {ARCHIVE} from {PAGE} (for research and teaching, not for profit) and unpack it in {self.root}"

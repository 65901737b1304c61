"""Diagnostics: small sets of real material on which one ability decides, made on first use: no download."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import albumentations as A

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.image.image_folder import ImageFolder
from blockyard.datamodules.loading import Split
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.video.video_folder import VideoFolder
from blockyard.samples.diagnostics import conjunction, covariance, order, pairing, product, transport

HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation by which a picture and its negative become x and -x."""


class Drawn(DataModule):
    """Files that are drawn when they are first asked for; a mixin of data modules of folders."""

    root: Path
    canvas: ClassVar[tuple[int, int]]
    """Height and width of a picture."""

    @abstractmethod
    def prepare_data(self) -> None:
        """Draw what is not there yet."""

    def split(self, name: str) -> Split:
        """A split, drawn first if need be."""
        if name != "predict":
            self.prepare_data()
        return super().split(name)


class Canvases(Drawn, ImageMaskFolder):
    """Canvases of real digits, read whole; at asked pixels the mask names a digit, all others are 255.

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.
    """

    kinds: ClassVar[int] = 10
    """Digits that occur, from zero."""

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(
            root=root,
            class_names=[str(digit) for digit in range(self.kinds)],
            size=self.canvas,
            scale=(1.0, 1.0),
            largest_share=1.0,
            flip=False,
            photometric=False,
            mean=HALF,
            std=HALF,
            **options,
        )


class Transport(Canvases):
    """What the framed digit at the far left is, every asked position has to say, at some distance.

    Args:
        root: Folder of the data set; made if missing.
        distance: ``near``: on the framed digit itself; ``beyond`` what the last map of the small networks sees of it;
            ``across`` the canvas.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.
    """

    canvas = (transport.HEIGHT, transport.WIDTH)
    kinds = transport.KINDS

    def __init__(self, root: str, distance: Literal["near", "beyond", "across"] = "beyond", **options: Any) -> None:
        super().__init__(root, **options)
        self.distance = distance

    def prepare_data(self) -> None:
        """Draw what is not there yet.

        Raises:
            ValueError: If there is no such distance.
        """
        transport.write_transport(self.root, self.distance)


class Pairing(Canvases):
    """Two pairs of digits, a colour each; every position of a digit has to say what its partner is."""

    canvas = (pairing.CANVAS, pairing.CANVAS)
    kinds = pairing.KINDS

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        pairing.write_pairing(self.root)


class Pictures(Drawn, ImageFolder):
    """Pictures of one size with a label each, read as they are.

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.
    """

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root=root, size=max(self.canvas), scale=None, flip=False, mean=HALF, std=HALF, **options)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, height, width)``."""
        return (3, *self.canvas)

    def augmentation(self) -> A.Compose:
        """Nothing."""
        return A.Compose([])

    def preparation(self, size: int) -> A.Compose:
        """Nothing."""
        return A.Compose([])


class Product(Pictures):
    """Two digits over each other in red and blue, each lighter or darker than grey: are their signs the same?"""

    classes: ClassVar[list[str]] = sorted(product.CLASSES.values())
    canvas = (product.CANVAS, product.CANVAS)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        product.write_product(self.root)


class Covariance(Pictures):
    """Textures whose colours have the same means and variances: which colours go together?"""

    classes: ClassVar[list[str]] = sorted(covariance.CORRELATIONS)
    canvas = (covariance.CANVAS, covariance.CANVAS)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        covariance.write_covariance(self.root)


class Conjunction(Pictures):
    """A zero or a one at either end, too far apart for any position to see both: are they equal?"""

    classes: ClassVar[list[str]] = list(conjunction.CLASSES)
    canvas = (conjunction.HEIGHT, conjunction.WIDTH)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        conjunction.write_conjunction(self.root)


class Order(Drawn, VideoFolder):
    """A digit that moves before a photograph, and the same clips backwards: which way does it go?

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`.
    """

    classes: ClassVar[list[str]] = list(order.CLASSES)
    canvas = (order.CANVAS, order.CANVAS)

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(
            root=root,
            frames=order.FRAMES,
            stride=1,
            size=order.CANVAS,
            resize=order.CANVAS,
            jitter=1.0,
            flip=False,
            clips=1,
            mean=HALF,
            std=HALF,
            **options,
        )

    def prepare_data(self) -> None:
        """Film what is not there yet."""
        order.write_order(self.root)

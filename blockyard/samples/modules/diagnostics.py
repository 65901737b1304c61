"""Diagnostics: small sets of real material on which one ability decides, made on first use: no download."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import albumentations as A

from blockyard.datamodules.image.image_folder import ImageFolder
from blockyard.datamodules.listing import Listing as Files
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.segmentation.listing import Listing
from blockyard.datamodules.video.video_folder import VideoFolder
from blockyard.samples.diagnostics import conjunction, covariance, order, pairing, product, transport

HALF = (0.5, 0.5, 0.5)
"""Mean and standard deviation by which a picture and its negative become x and -x."""


class Canvases(ImageMaskFolder):
    """Canvases of real digits, read whole; at asked pixels the mask names a digit, all others are 255.

    Args:
        root: Folder of the data set; made if missing.
        size: Height and width of a canvas.
        kinds: Digits that occur, from zero.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.
    """

    def __init__(self, root: str, size: tuple[int, int], kinds: int = 10, **options: Any) -> None:
        super().__init__(
            root,
            [str(digit) for digit in range(kinds)],
            size=size,
            scale=(1.0, 1.0),
            largest_share=1.0,
            flip=False,
            photometric=False,
            mean=HALF,
            std=HALF,
            **options,
        )

    def list_files(self, split: str) -> Listing:
        """The canvases of a split; drawn first if need be."""
        self.prepare_data()
        return super().list_files(split)


class Transport(Canvases):
    """What the framed digit at the far left is, every asked position has to say, at some distance.

    Args:
        root: Folder of the data set; made if missing.
        distance: ``near``: on the framed digit itself; ``beyond`` what the last map of the small networks sees of it;
            ``across`` the canvas.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.

    Raises:
        ValueError: If there is no such distance.
    """

    def __init__(
        self,
        root: str = "data/diagnostics/transport-beyond",
        distance: Literal["near", "beyond", "across"] = "beyond",
        **options: Any,
    ) -> None:
        super().__init__(root, (transport.HEIGHT, transport.WIDTH), 10, **options)
        if distance not in transport.ASKED:
            raise ValueError(f"Transport: distance must be one of {', '.join(transport.ASKED)}, got {distance!r}")
        self.distance = distance

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        transport.write_transport(self.root, self.distance)


class Pairing(Canvases):
    """Two pairs of digits, a colour each; every position of a digit has to say what its partner is.

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.segmentation.base.SegmentationDataModule`.
    """

    def __init__(self, root: str = "data/diagnostics/pairing", **options: Any) -> None:
        super().__init__(root, (pairing.CANVAS, pairing.CANVAS), pairing.KINDS, **options)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        pairing.write_pairing(self.root)


class Pictures(ImageFolder):
    """Pictures of one size with a label each, read as they are.

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.
    """

    canvas: ClassVar[tuple[int, int]]
    """Height and width of a picture."""

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, size=max(self.canvas), scale=None, flip=False, mean=HALF, std=HALF, **options)

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

    def pictures(self, split: str) -> Files:
        """The pictures of a split; drawn first if need be."""
        self.prepare_data()
        return super().pictures(split)


class Product(Pictures):
    """Two digits over each other in red and blue, each lighter or darker than grey: are their signs the same?

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.
    """

    classes: ClassVar[list[str]] = sorted(product.CLASSES.values())
    canvas = (product.CANVAS, product.CANVAS)

    def __init__(self, root: str = "data/diagnostics/product", **options: Any) -> None:
        super().__init__(root, **options)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        product.write_product(self.root)


class Covariance(Pictures):
    """Textures whose colours have the same means and variances: which colours go together?

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.
    """

    classes: ClassVar[list[str]] = sorted(covariance.CORRELATIONS)
    canvas = (covariance.CANVAS, covariance.CANVAS)

    def __init__(self, root: str = "data/diagnostics/covariance", **options: Any) -> None:
        super().__init__(root, **options)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        covariance.write_covariance(self.root)


class Conjunction(Pictures):
    """A zero or a one at the left and one at the right, too far apart for one convolution to see both: are they equal?

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`.
    """

    classes: ClassVar[list[str]] = list(conjunction.CLASSES)
    canvas = (conjunction.HEIGHT, conjunction.WIDTH)

    def __init__(self, root: str = "data/diagnostics/conjunction", **options: Any) -> None:
        super().__init__(root, **options)

    def prepare_data(self) -> None:
        """Draw what is not there yet."""
        conjunction.write_conjunction(self.root)


class Order(VideoFolder):
    """A digit that moves before a photograph, and the same clips backwards: which way does it go?

    Args:
        root: Folder of the data set; made if missing.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`.
    """

    classes: ClassVar[list[str]] = list(order.CLASSES)

    def __init__(self, root: str = "data/diagnostics/order", **options: Any) -> None:
        size = order.CANVAS
        super().__init__(
            root,
            frames=order.FRAMES,
            stride=1,
            size=size,
            resize=size,
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

    def videos(self, split: str) -> Files:
        """The videos of a split; filmed first if need be."""
        self.prepare_data()
        return super().videos(split)

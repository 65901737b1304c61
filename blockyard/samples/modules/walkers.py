"""Walking people in coloured clothes, filmed from motion capture on first use: no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.samples.walkers import write_walkers


class Walkers(Market1501):
    """Pictures of walkers by two cameras or more, filmed in Market-1501's layout the first time they are asked for.

    Cameras differ in side, light and colour. Filming takes the package pybullet and about 5 ms a picture; of everyone,
    each camera takes eight.

    Args:
        root: Folder of the data set; made if missing.
        identities: People, in all.
        test_identities: How many of them are tested on.
        cameras: How many.
        options: Those of :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {}

    def __init__(
        self,
        root: str = "data/walkers",
        identities: int = 100,
        test_identities: int = 40,
        cameras: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(root, **options)
        self.identities, self.test_identities, self.cameras = identities, test_identities, cameras

    def prepare_data(self) -> None:
        """Film what is not there yet."""
        people = self.identities, self.test_identities, self.cameras
        write_walkers(self.root, "market1501", *people)

    def _folder(self) -> Path:
        self.prepare_data()
        return super()._folder()


class WalkersVideo(MARS):
    """Tracklets of walkers by two cameras or more, filmed in the layout of MARS the first time they are asked for.

    As :class:`Walkers`; of everyone, each camera takes two tracklets of 12 to 20 frames.

    Args:
        root: Folder of the data set; made if missing.
        identities: People, in all.
        test_identities: How many of them are tested on.
        cameras: How many.
        protocol: Whether the gallery holds the queries too.
        options: Those of :class:`~blockyard.datamodules.reid.base.TrackletDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {}

    def __init__(
        self,
        root: str = "data/walkers-video",
        identities: int = 60,
        test_identities: int = 24,
        cameras: int = 2,
        protocol: Literal["official", "no-queries"] = "official",
        **options: Any,
    ) -> None:
        super().__init__(root, protocol, **options)
        self.identities, self.test_identities, self.cameras = identities, test_identities, cameras

    def prepare_data(self) -> None:
        """Film what is not there yet."""
        people = self.identities, self.test_identities, self.cameras
        write_walkers(self.root, "mars", *people)

    def _folder(self) -> Path:
        self.prepare_data()
        return super()._folder()

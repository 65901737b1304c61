"""Walking people in coloured clothes, filmed from motion capture on first use: no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from blockyard.datamodules.reid.base import PersonDataModule
from blockyard.datamodules.reid.market1501 import Market1501
from blockyard.datamodules.reid.mars import MARS
from blockyard.samples.walkers import Layout, write_walkers


class FilmedPeople(PersonDataModule):
    """Walkers who are filmed in a published layout the first time that they are asked for; a mixin of data modules.

    Cameras differ in side, light and colour. Filming takes the package pybullet and about 5 ms a picture.

    Args:
        root: Folder of the data set; made if missing.
        identities: People, in all.
        test_identities: How many of them are tested on.
        cameras: How many.
        options: Those of the data module that it is mixed into, which reads the layout.

    Raises:
        ValueError: If a number is out of range.
    """

    layout: ClassVar[Layout]
    published: ClassVar[dict[str, int]] = {}
    """The published counts are not those of this data set."""
    root: Path

    def __init__(self, root: str, identities: int, test_identities: int, cameras: int = 2, **options: Any) -> None:
        super().__init__(root=root, **options)
        self.identities, self.test_identities, self.cameras = identities, test_identities, cameras

    def prepare_data(self) -> None:
        """Film what is not there yet."""
        write_walkers(self.root, self.layout, self.identities, self.test_identities, self.cameras)

    def _folder(self) -> Path:
        self.prepare_data()
        folder: Path = super()._folder()  # type: ignore[misc]  # the next class has it
        return folder


class Walkers(FilmedPeople, Market1501):
    """Pictures of walkers by two cameras or more, in Market-1501's layout: of everyone, each camera takes eight.

    Args:
        root: Folder of the data set; made if missing.
        identities: People, in all.
        test_identities: How many of them are tested on.
        options: Those of :class:`FilmedPeople` and :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    layout = "market1501"

    def __init__(
        self, root: str = "data/walkers", identities: int = 100, test_identities: int = 40, **options: Any
    ) -> None:
        super().__init__(root, identities, test_identities, **options)


class WalkersVideo(FilmedPeople, MARS):
    """Tracklets of walkers by two cameras or more, in the layout of MARS.

    Of everyone, each camera takes two tracklets of 12 to 20 frames.

    Args:
        root: Folder of the data set; made if missing.
        identities: People, in all.
        test_identities: How many of them are tested on.
        options: Those of :class:`FilmedPeople` and :class:`~blockyard.datamodules.reid.mars.MARS`.

    Raises:
        ValueError: If a number is out of range.
    """

    layout = "mars"

    def __init__(
        self, root: str = "data/walkers-video", identities: int = 60, test_identities: int = 24, **options: Any
    ) -> None:
        super().__init__(root, identities, test_identities, **options)

"""What UCF-101 and HMDB-51 share: three official splits of training and test videos, cut from fewer recordings."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.checking import Finding
from blockyard.datamodules.holding_out import hold_out_groups
from blockyard.datamodules.listing import Listing
from blockyard.datamodules.video.base import VideoDataModule
from blockyard.datamodules.video.listing import find_listed, settle_missing
from blockyard.mistakes import DataError
from blockyard.publishers.digests import Digest, wrong_archive
from blockyard.publishers.sets import how_to_get

OTHER_DATA = "verify=False reads other data in the same layout"


@dataclass(frozen=True)
class Archive:
    """What a folder of a data set is published as.

    Args:
        name: File name.
        unpack: Command that unpacks it, with ``{archive}``, ``{folder}`` and ``{root}``.
        digest: The publisher's; None if none is published.
        fetched: As what ``blockyard fetch`` knows it; None if it doesn't.
    """

    name: str
    unpack: str
    digest: Digest | None = None
    fetched: str | None = None


class OfficialSplits(VideoDataModule):
    """A published set of videos with three official splits.

    A group of videos is cut from one recording, so validation, which has no published split, takes whole groups: of
    each class the last ones that make up ``val_fraction`` of its training videos. ``predict`` without ``predict_path``
    is the test split without its labels.

    Args:
        root: Folder that contains the published folders.
        split: Official split.
        val_fraction: Share of the training videos held out for validation; 0 trains on all of them.
        verify: Whether the lists must have the published counts and every listed video must be there; ``check-data``
            then also verifies the checksums of archives that still lie in ``root``, a few seconds a gigabyte. False
            reads other data in the same layout; training then goes without a video that is missing, and a test counts
            it as one that can't be decoded.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`.

    Raises:
        ValueError: If there is no such split, or a number is out of range.
    """

    page: ClassVar[str]
    """Where the archives are published."""
    archives: ClassVar[dict[str, Archive]]
    """Archive of each published folder; that of the videos comes first."""

    def __init__(
        self,
        root: str = "data",
        split: Literal[1, 2, 3] = 1,
        val_fraction: float = 0.15,
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if split not in (1, 2, 3) or not 0 <= val_fraction < 1:
            name = type(self).__name__
            raise ValueError(f"{name}: split={split} must be 1, 2 or 3 and val_fraction={val_fraction} in [0, 1)")
        self.root = Path(root)
        self.official_split = split
        self.val_fraction = val_fraction
        self.verify = verify

    @abstractmethod
    def listed(self, part: str) -> tuple[list[str], NDArray[np.int64]]:
        """The ``train`` or ``test`` videos of the official split, in the order of its lists.

        Returns:
            Paths ``<class>/<file>`` below the folder of the videos, and labels ``(n,)``.

        Raises:
            DataError: If a list is missing or is not what it should be.
        """

    @abstractmethod
    def group(self, name: str) -> str:
        """The recording that a video is cut from; it counts within a class."""

    def videos(self, split: str) -> Listing:
        """The videos of an official list; of the training list those held out or those that stay."""
        part = "train" if split in ("train", "val") else "test"
        names, targets = self.listed(part)
        if part == "train":
            groups = [self.group(name) for name in names]
            rows = hold_out_groups(targets, groups, self.val_fraction, self.classes)[split == "val"]
            names, targets = [names[row] for row in rows], targets[rows]
        paths = find_listed(self.folder(next(iter(self.archives))), names)
        title = f"{type(self).__name__} in {self.root}, {part} list of split {self.official_split}"
        return settle_missing(title, paths, names, targets, training=split == "train", strict=self.verify)

    def folder(self, name: str) -> Path:
        """A published folder.

        Raises:
            DataError: If it is missing; the message says how to get it, or what to do with its archive.
        """
        if not (folder := self.root / name).is_dir():
            archive = self.archives[name]
            path = self.root / archive.name
            unpack = archive.unpack.format(archive=path, folder=folder, root=self.root)
            if path.is_file():
                advice = wrong_archive(path, archive.digest) or f"unpack the archive beside it with: {unpack}"
            elif archive.fetched:
                advice = how_to_get(archive.fetched, self.root)
            else:
                advice = f"get {archive.name} from {self.page} and unpack it in {self.root}"
            raise DataError(f"{folder} is missing: {advice}")
        return folder

    def findings(self, split: str, digest: bool = False) -> Iterator[Finding]:
        """Read everything in a split once; the first time, also the archives that lie beside what came from them."""
        while self.verify and self._wrong_archives:
            yield Finding(*self._wrong_archives.pop(0))
        yield from super().findings(split, digest)

    def expect(self, place: Path, found: int, published: int, things: str) -> None:
        """Compare a count with the published one: with ``verify`` a difference is an error, else it is warned of.

        Raises:
            DataError: If it differs.
        """
        if found == published:
            return
        message = f"{place} lists {found} {things}, not the published {published}"
        if self.verify:
            raise DataError(f"{message}; {OTHER_DATA}")
        warnings.warn(message, stacklevel=2)

    @cached_property
    def _wrong_archives(self) -> list[tuple[str, str]]:
        problems = [(a.name, wrong_archive(self.root / a.name, a.digest)) for a in self.archives.values()]
        return [(name, problem) for name, problem in problems if problem is not None]

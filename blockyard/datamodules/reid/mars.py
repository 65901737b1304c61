"""MARS in its published layout."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.listing import check_files
from blockyard.datamodules.matlab import read_table
from blockyard.datamodules.published import check_counts
from blockyard.datamodules.reid.base import TrackletDataModule
from blockyard.datamodules.reid.sightings import DISTRACTOR, JUNK, Retrieval, Sightings
from blockyard.mistakes import DataError
from blockyard.publishers.sets import SETS

PAGE = SETS["mars"].page
HINT = f"get the data set from {PAGE}, and its info folder with the code of its evaluation"
NAME = re.compile(r"(\d{4}|00-1)C([1-6])T\d{4}F\d{3}\.jpg")
PROTOCOLS = {"official": "mars-official", "no-queries": "mars-no-queries"}


class MARS(TrackletDataModule):
    """MARS (Zheng et al., ECCV 2016): 20,478 tracklets of 1,261 people by six cameras.

    Read from ``root/mars/{bbox_train,bbox_test,info}``. Junk (identity -1) is left out and distractors (identity 0)
    stay. Two protocols are published and give different numbers, so say which: in the ``official`` one the gallery
    holds the queries, and all 1,980 of them have a match in another camera; with ``no-queries`` it is the other 9,330
    tracklets, and 140 queries have none.

    Args:
        root: Folder that contains ``mars``.
        protocol: Which gallery.
        verify: Whether there must be as many tracklets and people as were published. False reads other data in the same
            layout.
        options: Those of :class:`~blockyard.datamodules.reid.base.TrackletDataModule`.

    Raises:
        ValueError: If there is no such protocol, or a number is out of range.
    """

    published: ClassVar[dict[str, int]] = {
        "training tracklets": 8_298,
        "training pictures": 509_914,
        "training people": 625,
        "test tracklets": 12_180,
        "junk tracklets": 870,
        "distractor tracklets": 3_248,
        "queries": 1_980,
        "gallery tracklets without queries": 9_330,
    }
    evaluation_options: ClassVar[tuple[str, ...]] = (*TrackletDataModule.evaluation_options, "protocol")

    def __init__(
        self,
        root: str = "data",
        protocol: Literal["official", "no-queries"] = "official",
        verify: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if protocol not in PROTOCOLS:
            raise ValueError(f"MARS: no protocol {protocol!r}; allowed: {', '.join(PROTOCOLS)}")
        self.root = Path(root)
        self.protocol = protocol
        self.verify = verify

    def training(self) -> Sightings:
        """The tracklets of ``tracks_train_info.mat``."""
        found = self._read("train")
        found = found.take((found.identities != JUNK) & (found.identities != DISTRACTOR))
        counts = {
            "training tracklets": len(found),
            "training pictures": sum(len(frames) for frames in found.frames),
            "training people": len(np.unique(found.identities)),
        }
        check_counts(self.root / "mars", counts, self.published, self.verify)
        return found

    def testing(self) -> Retrieval:
        """The tracklets of ``query_IDX.mat`` against those of ``tracks_test_info.mat``, with or without the queries."""
        tracks = self._read("test")
        query = self._queries(len(tracks))
        kept = np.flatnonzero(tracks.identities != JUNK)
        rest = np.setdiff1d(kept, query)
        counts = {
            "test tracklets": len(tracks),
            "junk tracklets": len(tracks) - len(kept),
            "distractor tracklets": int((tracks.identities == DISTRACTOR).sum()),
            "queries": len(query),
            "gallery tracklets without queries": len(rest),
        }
        check_counts(self.root / "mars", counts, self.published, self.verify)
        if bad := [row for row in query.tolist() if tracks.identities[row] in (JUNK, DISTRACTOR)]:
            raise DataError(f"{self._info('query_IDX.mat')}: query {bad[0] + 1} shows nobody who can be looked for")
        gallery = kept if self.protocol == "official" else rest
        places = np.searchsorted(kept, query), np.searchsorted(kept, gallery)
        return Retrieval(tracks.take(kept), *places, PROTOCOLS[self.protocol]).check(self.root / "mars")

    def _folder(self) -> Path:
        return self.root / "mars"

    def _info(self, name: str) -> Path:
        return self._folder() / "info" / name

    def _queries(self, tracks: int) -> NDArray[np.int64]:
        """Rows of the test table, from 0; in the file they are from 1, and unsigned."""
        file = self._info("query_IDX.mat")
        rows = read_table(file, "query_IDX", HINT).ravel() - 1
        if len(np.unique(rows)) != len(rows) or ((rows < 0) | (rows >= tracks)).any():
            raise DataError(f"{file}: each query must be a different row, from 1 to {tracks}, of tracks_test_info.mat")
        return rows

    def _read(self, part: str) -> Sightings:
        names = self._names(part)
        file = self._info(f"tracks_{part}_info.mat")
        table = read_table(file, f"track_{part}_info", HINT)
        if table.shape[1] != 4:
            raise DataError(f"{file}: rows of start, end, identity and camera expected, found {table.shape[1]} columns")
        folder = str(self._folder() / f"bbox_{part}")
        paths = [f"{folder}/{name[:4]}/{name}" for name in names]
        check_files(paths, self._info(f"{part}_name.txt"))
        for row, (start, end, identity, camera) in enumerate(table.tolist(), start=1):
            if not 1 <= start <= end <= len(names):
                raise DataError(
                    f"{file}: tracklet {row} is empty or beyond the {len(names)} names: from {start} to {end}"
                )
            shown = {(name[:4], name[5]) for name in names[start - 1 : end]}
            if shown != {("00-1" if identity == JUNK else f"{identity:04d}", str(camera))}:
                raise DataError(
                    f"{file}: tracklet {row} is of identity {identity} and camera {camera}, but it holds pictures such "
                    f"as {names[start - 1]}"
                )
        frames = [paths[start - 1 : end] for start, end in table[:, :2].tolist()]
        titles = [f"bbox_{part}/{names[start - 1].removesuffix('.jpg')}" for start in table[:, 0].tolist()]
        return Sightings(frames, titles, table[:, 2], table[:, 3] - 1)

    def _names(self, part: str) -> list[str]:
        file = self._info(f"{part}_name.txt")
        if not file.is_file():
            raise DataError(f"{file} is missing: {HINT}")
        names = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        for number, name in enumerate(names, start=1):
            if not NAME.fullmatch(name):
                raise DataError(f"{file}, line {number}: a name such as 0001C1T0001F001.jpg expected, not {name!r}")
        return names

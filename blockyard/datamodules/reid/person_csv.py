"""Pictures or tracklets of people listed in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from blockyard.datamodules.listing import check_files
from blockyard.datamodules.reid.base import TrackletDataModule
from blockyard.datamodules.reid.own_people import OwnPeople, Part, Row, held_out
from blockyard.datamodules.reid.sightings import hold_out_identities
from blockyard.datamodules.tables import check_agreement, columns_of, read_rows
from blockyard.mistakes import DataError, nearest

COLUMNS = ("file", "person", "camera", "tracklet", "split")
SPLITS: tuple[Part, ...] = get_args(Part)


class PersonCSV(OwnPeople, TrackletDataModule):
    """Pictures of people listed in a CSV file with the header ``file,person[,camera][,tracklet][,split]``.

    A ``file`` is relative to ``root``. ``split`` is train, val, query, gallery or test, and train where it is empty:
    :class:`~blockyard.datamodules.reid.own_people.OwnPeople` says what each is. Where no row is for a test,
    ``test_identities`` people are held out for it, and then, where none is for validation, ``val_identities`` of the
    rest. Rows of one person, camera, ``tracklet`` and split are a tracklet, its frames in the order of the file: with
    ``frames`` these are the samples, without it each picture is.

    Args:
        root: Folder that files are relative to.
        table: The CSV file, relative to ``root`` unless absolute.
        test_identities: People held out for the test where no row is for it; None takes a tenth of them, at least two.
        frames: Frames T of a clip; None takes single pictures.
        options: Those of :class:`~blockyard.datamodules.reid.base.TrackletDataModule`.

    Raises:
        ValueError: If a number is out of range.
    """

    names_cameras = "a column camera"

    laid_out = "DIR/people.csv with file,person"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``people.csv``, if its header names what a picture needs."""
        return ["people.csv"] if {"file", "person"} <= columns_of(root / "people.csv") else []

    def __init__(
        self,
        root: str,
        table: str = "people.csv",
        test_identities: int | None = None,
        frames: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, frames=1 if frames is None else frames, **options)
        if test_identities is not None and test_identities < 2:
            raise ValueError(f"PersonCSV: test_identities={test_identities} must be at least 2, to be told apart")
        self.table = self.root / table
        self.test_identities = test_identities
        self.tracklets = frames is not None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, H, W)`` of pictures, ``(3, frames, H, W)`` of clips."""
        return super().input_shape if self.tracklets else (3, *self.size)

    def list_rows(self, part: Part) -> list[Row]:
        """The rows of a part, in the order of the file."""
        return self._parts[part]

    def expected(self) -> str:
        """Where training is looked for."""
        return f"rows of {self.table} of the split train, or of none, are for that"

    def remarks(self, split: str) -> Iterator[str]:
        """Also how many people were held out for the test."""
        if split == "test" and self._carves_test:
            stay = len({row.person for row in self.rows("train")})
            yield f"test: {held_out(self.rows('test'), stay, 'test_identities', self.test_identities)}"
        yield from super().remarks(split)

    @property
    def _carves_test(self) -> bool:
        """Whether no row says what is for a test."""
        return not any(line.get("split") in ("query", "gallery", "test") for line in self._lines)

    @cached_property
    def _parts(self) -> dict[Part, list[Row]]:
        lines = self._lines
        parts: dict[Part, list[Row]] = {
            part: self._rows([line for line in lines if (line.get("split") or "train") == part]) for part in SPLITS
        }
        if self._carves_test and parts["train"]:
            every = self._sightings(parts["train"])
            use = ("test_identities", "the test; rows of split query and gallery are one too")
            held = set(hold_out_identities(every, self.test_identities, self._seen(parts["train"]), use)[1].names)
            rows, parts["train"] = parts["train"], [row for row in parts["train"] if row.name not in held]
            parts["test"] = [row for row in rows if row.name in held]
        return parts

    @cached_property
    def _lines(self) -> list[dict[str, str]]:
        if not self.table.is_file():
            raise DataError(f"{self.table} is missing: a CSV file with the header {','.join(COLUMNS)}")
        lines = read_rows(self.table, restkey="more", restval="")
        columns = list(lines[0]) if lines else []
        if not {"file", "person"} <= set(columns):
            raise DataError(f"{self.table}: the header must name file and person, and rows follow")
        for column in set(columns) - {*COLUMNS, "more"}:
            raise DataError(f"{self.table}: no column {column} is known; {nearest(column, COLUMNS)}")
        needed = {"file": "", "person": ""}
        needed |= {"camera": ", which other rows have"} if any(line.get("camera") for line in lines) else {}
        needed |= {"tracklet": f", which frames={self.frames} takes"} if self.tracklets else {}
        for number, line in enumerate(lines, start=2):
            if lacking := [f"{column}{why}" for column, why in needed.items() if not line.get(column)]:
                raise DataError(f"{self.table}, line {number}: no {lacking[0]}")
            if (split := line.get("split") or "train") not in SPLITS:
                raise DataError(f"{self.table}, line {number}: no split {split!r}; {nearest(split, SPLITS)}")
        files = [line["file"] for line in lines]
        check_agreement(self.table, files, [line["person"] for line in lines])
        check_agreement(self.table, files, [line.get("split") or "train" for line in lines])
        check_files([os.path.join(self.root, file) for file in files], self.table)  # noqa: PTH118 - for a million
        return list({line["file"]: line for line in lines}.values())

    def _rows(self, lines: Sequence[dict[str, str]]) -> list[Row]:
        """The samples of some lines: pictures, or tracklets."""
        found: dict[tuple[str, ...], list[str]] = {}
        for line in lines:
            who = tuple(line.get(column, "") for column in ("person", "camera", "tracklet"))
            name = "/".join(filter(None, who)) if self.tracklets else line["file"]
            found.setdefault((name, *who), []).append(str(self.root / line["file"]))
        return [Row(frames, *names) for names, frames in found.items()]

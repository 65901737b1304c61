"""Which files a split has, and kinds of files below folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.folders import LeftOut, PathsBelow, names_below
from blockyard.mistakes import DataError


@dataclass(frozen=True)
class Listing:
    """The files of a split: ``paths`` and ``names``, one each, and labels ``targets`` ``(n,)``, None if unknown."""

    paths: Sequence[Path]
    names: Sequence[str]
    targets: NDArray[np.integer[Any]] | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> Listing:
        """The samples at these positions."""
        targets = None if self.targets is None else self.targets[rows]
        chosen = rows.tolist()
        paths = self.paths.take(chosen) if isinstance(self.paths, PathsBelow) else [self.paths[row] for row in chosen]
        return Listing(paths, [self.names[row] for row in chosen], targets)


@dataclass(frozen=True)
class FileKind:
    """What is looked for in folders.

    Attributes:
        noun: What one is called.
        suffixes: How the names of its files end, in lower case.
        example: File names, for messages.
    """

    noun: str
    suffixes: frozenset[str]
    example: str

    def find(self, place: Path) -> Listing:
        """One file, or those below a folder at any depth, sorted by path, named relative to it; no hidden ones.

        Links are followed. What is passed over is told in one warning, by suffix.

        Raises:
            DataError: If there are none.
        """
        if place.is_file():
            return Listing([place], [place.name])
        if not place.is_dir():
            raise DataError(f"{place} is missing: it is where {self.noun}s are read from")
        left = LeftOut()
        listing = self.list_below(place, left)
        left.tell(place, self.noun)
        return listing

    def find_new(self, places: str | Path | Sequence[str]) -> Listing:
        """What a user gives to ``predict``: a file or folder, or several of either, in their order and each once.

        Names are relative to a folder that is given alone, and to the nearest one that holds all of several.

        Raises:
            DataError: If one of them is missing, or a folder holds none.
        """
        given = [places] if isinstance(places, str | Path) else list(dict.fromkeys(places))
        if len(given) == 1:
            return self.find(Path(given[0]))
        if not given:
            raise DataError(f"nothing to predict: give a {self.noun}, a folder, or several")
        found = [self.find(Path(place)) for place in given]
        whole = [Path(os.path.abspath(place)) for place in given]  # noqa: PTH100 - a link keeps its name
        above = os.path.commonpath([place.parent for place in whole])
        inside = [place.relative_to(above) for place in whole]
        names = [
            (part / name if place.is_dir() else part).as_posix()
            for place, part, listing in zip(whole, inside, found, strict=True)
            for name in listing.names
        ]
        return Listing([path for listing in found for path in listing.paths], names)

    def list_below(self, place: Path, left: LeftOut) -> Listing:
        """As :meth:`find`, of a folder; ``left`` takes what is passed over.

        Raises:
            DataError: If there are none.
        """
        names = names_below(place, self._is_one, left)
        if not names:
            others = f"; passed over: {left}" if left.names else ""
            raise DataError(
                f"{place} holds no {self.noun}; the kinds read are {', '.join(sorted(self.suffixes))}{others}"
            )
        return Listing(PathsBelow(place, names), names)

    def is_below(self, place: Path) -> bool:
        """Whether a folder that can be read holds one, at any depth."""
        return bool(names_below(place, self._is_one, LeftOut()))

    def _is_one(self, name: str) -> bool:
        return name[name.rfind(".") :].lower() in self.suffixes  # a third of what pathlib and os.path take


def check_files(files: Sequence[str], listed_in: Path) -> None:
    """Make sure that files are there, listing each of their folders once.

    Raises:
        DataError: If one is missing.
    """

    @cache
    def content(folder: str) -> frozenset[str]:
        return frozenset(os.listdir(folder) if os.path.isdir(folder) else ())  # noqa: PTH112, PTH208 - for a million

    missing = [file for file in files if (parts := os.path.split(file))[1] not in content(parts[0])]
    if missing:
        raise DataError(f"{listed_in}: {len(missing)} of {len(files)} listed pictures are missing, as {missing[0]}")

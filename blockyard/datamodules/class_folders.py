"""Files below folders, and folders with one subfolder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.folders import LeftOut, PathsBelow, folders_in, names_below
from blockyard.datamodules.holding_out import hold_out
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

    def _is_one(self, name: str) -> bool:
        return name[name.rfind(".") :].lower() in self.suffixes  # a third of what pathlib and os.path take


def training_classes(root: Path, kind: FileKind) -> list[str]:
    """The sorted names of the folders in ``root/train``: as text, so 10 comes before 2, as torchvision has it.

    Raises:
        DataError: If there are fewer than two.
    """
    classes = _folders(root / "train", kind, LeftOut())
    if len(classes) < 2:
        raise DataError(f"{root / 'train'}: at least two class folders expected, found {len(classes)}")
    return classes


def labelled_files(folder: Path, classes: Sequence[str], kind: FileKind) -> Listing:
    """The files of ``folder/<class>/``, class by class, with names relative to ``folder``.

    Args:
        folder: Folder of a split.
        classes: Those of the training split, in the order of their labels.
        kind: What to look for.

    Raises:
        DataError: If the folder has other classes, or one without files.
    """
    left = LeftOut()
    if differing := sorted(set(_folders(folder, kind, left)) ^ set(classes)):
        where = [f"{name} (only in {'train' if name in classes else folder.name})" for name in differing]
        raise DataError(f"{folder}: its classes are not those of train: {', '.join(where[:5])}")
    found = [kind.list_below(folder / title, left) for title in classes]
    left.tell(folder, kind.noun)
    names = [f"{title}/{name}" for title, part in zip(classes, found, strict=True) for name in part.names]
    targets = np.repeat(np.arange(len(found)), [len(part.paths) for part in found])
    return Listing(PathsBelow(folder, names), names, targets)


def files_of_split(root: Path, split: str, classes: Sequence[str], kind: FileKind, val_fraction: float) -> Listing:
    """The files of ``root/<split>``; where there is no ``val``, the last of each class of ``train`` are held out.

    Args:
        root: Folder with ``train`` in it.
        split: ``train``, ``val`` or ``test``.
        classes: Those of ``train``.
        kind: What to look for.
        val_fraction: Share held out.

    Raises:
        DataError: As :func:`labelled_files`, or if nothing of a class would stay.
    """
    if split == "test" or (root / "val").is_dir():
        return labelled_files(root / split, classes, kind)
    listing = labelled_files(root / "train", classes, kind)
    assert listing.targets is not None
    return listing.take(hold_out(listing.targets, val_fraction, classes)[split == "val"])


def _folders(folder: Path, kind: FileKind, left: LeftOut) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: {kind.noun}s are expected in {folder}/<class>/{kind.example}")
    return folders_in(folder, left, "the class folders")

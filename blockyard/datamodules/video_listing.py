"""Which videos a split has, where their files are, and the rule by which validation is carved out."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.base import DataError

SUFFIXES = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}


@dataclass(frozen=True)
class Listing:
    """The videos of a split: ``paths`` and ``names``, one each, and labels ``targets`` ``(n,)``, None if unknown."""

    paths: Sequence[Path]
    names: Sequence[str]
    targets: NDArray[np.integer[Any]] | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> Listing:
        """The videos at these positions."""
        targets = None if self.targets is None else self.targets[rows]
        return Listing([self.paths[row] for row in rows], [self.names[row] for row in rows], targets)


def find_videos(place: Path) -> Listing:
    """One file, or the video files below a folder at any depth, sorted by path; hidden ones are passed over.

    Raises:
        DataError: If there are none.
    """
    if place.is_file():
        return Listing([place], [place.name])
    if not place.is_dir():
        raise DataError(f"{place} is missing: it is where videos are read from")
    inside = sorted(path.relative_to(place) for path in place.rglob("*") if path.suffix.lower() in SUFFIXES)
    shown = [path for path in inside if not any(part.startswith(".") for part in path.parts)]
    if not shown:
        raise DataError(f"{place} holds no video; the kinds read are {', '.join(sorted(SUFFIXES))}")
    return Listing([place / path for path in shown], [path.as_posix() for path in shown])


def find_listed(folder: Path, names: Sequence[str]) -> list[Path | None]:
    """Files that a list names relative to ``folder``; None for one that is not there.

    Copies of a data set differ in capitals: where there is no file of just that name, another spelling is taken.
    """

    @cache
    def files(parent: Path) -> dict[str, str]:
        found = sorted(path.name for path in parent.iterdir()) if parent.is_dir() else []
        return {name.lower(): name for name in found} | {f"={name}": name for name in found}

    def find(path: Path) -> Path | None:
        there = files(path.parent)
        name = there.get(f"={path.name}") or there.get(path.name.lower())
        return path.parent / name if name else None

    return [find(folder / name) for name in names]


def settle_missing(
    title: str,
    paths: Sequence[Path | None],
    names: Sequence[str],
    targets: NDArray[np.integer[Any]] | None,
    training: bool,
    strict: bool = False,
) -> Listing:
    """A listing, whatever is missing: with one warning, training goes without, a test has it among its failures.

    Args:
        title: What the warning calls the list.
        paths: The files; None for one that is missing.
        names: What the list calls them.
        targets: Labels ``(n,)``, None if unknown.
        training: Whether to leave out what is missing.
        strict: Whether nothing may be missing.

    Raises:
        DataError: If all of them are missing, or with ``strict`` any.
    """
    missing = [name for name, path in zip(names, paths, strict=True) if path is None]
    if missing and (strict or len(missing) == len(names)):
        raise DataError(f"{title}: {len(missing)} of {len(names)} listed videos are missing, the first is {missing[0]}")
    if missing:
        then = "training goes without" if training else "counted as failures"
        warnings.warn(
            f"{title}: {len(missing)} of {len(names)} listed videos are missing ({missing[0]}, …): {then}", stacklevel=2
        )
    listing = Listing([path or Path(name) for path, name in zip(paths, names, strict=True)], names, targets)
    present = np.array([path is not None for path in paths])
    return listing.take(np.flatnonzero(present)) if training else listing


def how_to_unpack(archive: Path, digest: tuple[str, str] | None, command: str) -> str | None:
    """What to do with an archive that lies there; None if there is none.

    Args:
        archive: The file.
        digest: Name of a hash and the publisher's hexadecimal digest.
        command: What unpacks it.
    """
    if not archive.is_file():
        return None
    return wrong_archive(archive, digest) or f"unpack the archive beside it with: {command}"


def wrong_archive(archive: Path, digest: tuple[str, str] | None) -> str | None:
    """Why a file is not the published archive; None if it is, if it is not there, or if no digest is published.

    Args:
        archive: The file.
        digest: Name of a hash and the publisher's hexadecimal digest.
    """
    if digest is None or not archive.is_file():
        return None
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, digest[0]).hexdigest()
    if found == digest[1]:
        return None
    return f"{archive} is not the published archive ({digest[0]} {found}, not {digest[1]}): get it again"


def hold_out_groups(
    targets: NDArray[np.integer[Any]], groups: Sequence[str], share: float, classes: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split stratified by class that keeps the clips of one recording together, by a fixed rule.

    Of every class the *last* groups in alphabetical order are held out, as few as reach ``share`` of its clips; at
    least one group stays. It needs no random numbers, so it is the same everywhere for ever.

    Args:
        targets: Labels ``(n,)``.
        groups: Which recording each clip is from; it counts within a class.
        share: Share of the clips of each class; 0 holds nothing out.
        classes: Names of the classes.

    Returns:
        Positions that stay and positions held out, both ascending.

    Raises:
        DataError: If a class has only one group.
    """
    held = np.zeros(len(targets), dtype=bool)
    names = np.asarray(groups)
    for label, title in enumerate(classes) if share else ():
        members = np.flatnonzero(targets == label)
        of_class = sorted(set(names[members].tolist()))
        if len(of_class) == 1:
            raise DataError(f"class {title} has one group of clips, {of_class[0]}: none can be held out for validation")
        for group in of_class[:0:-1]:
            if held[members].sum() < share * len(members):
                held[members[names[members] == group]] = True
    return np.flatnonzero(~held), np.flatnonzero(held)

"""Which videos a split has, and where their files are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.listing import FileKind, Listing
from blockyard.mistakes import DataError

VIDEOS = FileKind(
    "video",
    frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm", ".wmv"}),
    "*.mp4 (or .avi, .mkv, .webm, …)",
)


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

"""Which sounds a split has, where they are, and the rule by which speakers are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.listing import FileKind
from blockyard.mistakes import DataError

SOUNDS = FileKind(
    "sound",
    frozenset(
        {".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".rf64", ".snd", ".w64"}
        | {".wav", ".wave"}
    ),
    "*.wav (or .flac, .ogg, .mp3, .aiff, …)",
)
Span = tuple[float, float | None]
"""Start and end in seconds; None is the end of the file."""


@dataclass(frozen=True)
class Recordings:
    """The sounds of a split.

    Attributes:
        paths: Their files.
        names: One each, for people.
        targets: Labels ``(n,)``, or where one may have several float32 ``(n, K)`` of 0 and 1; None if unknown.
        spans: Which part of its file each is; None means all of it.
        volumes: A factor each ``(n,)``; None means 1.
    """

    paths: Sequence[Path]
    names: Sequence[str]
    targets: NDArray[Any] | None = None
    spans: Sequence[Span] | None = None
    volumes: NDArray[np.float32] | None = None

    def take(self, rows: NDArray[np.integer[Any]]) -> Recordings:
        """The sounds at these positions."""
        return Recordings(
            [self.paths[row] for row in rows],
            [self.names[row] for row in rows],
            None if self.targets is None else self.targets[rows],
            None if self.spans is None else [self.spans[row] for row in rows],
            None if self.volumes is None else self.volumes[rows],
        )


def find_audio(places: str | Path | list[str]) -> Recordings:
    """One file, the sound files below a folder at any depth, sorted by path, or several of either; no hidden ones.

    Raises:
        DataError: If there are none.
    """
    found = SOUNDS.find_new(places)
    return Recordings(found.paths, found.names)


def find_tree(root: Path, marker: str, folders: Sequence[str], advice: str) -> Path:
    """Where a published tree lies: ``root`` itself or one of some folders below it, whichever holds ``marker``.

    Raises:
        DataError: If none does; the message ends in ``advice``.
    """
    for place in (root, *(root / folder for folder in folders)):
        if (place / marker).exists():
            return place
    raise DataError(f"{root / folders[0] / marker} is missing: {advice}")


def hold_out_speakers(speakers: Sequence[str], share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split that keeps all of a speaker on one side, by a fixed rule.

    Speakers are held out in the order of their names' SHA-1, as few as reach ``share`` of the recordings: at random,
    so to speak, yet without random numbers, the same everywhere for ever.

    Args:
        speakers: Of each recording.
        share: Share of the recordings; 0 holds nothing out.

    Returns:
        Positions that stay and positions held out, both ascending.

    Raises:
        DataError: If no speaker would stay.
    """
    names, members = np.unique(np.asarray(speakers, dtype=str), return_inverse=True)
    counts = np.bincount(members, minlength=len(names))
    order = sorted(range(len(names)), key=lambda row: hashlib.sha1(str(names[row]).encode()).digest())
    before = np.cumsum(counts[order]) - counts[order]
    held = np.array(order, dtype=np.intp)[before < share * len(members)]
    if share and len(held) == len(names):
        raise DataError(f"{len(names)} speakers or recordings: {share:g} of them can't be held out with one to stay")
    mask = np.isin(members, held)
    return np.flatnonzero(~mask), np.flatnonzero(mask)

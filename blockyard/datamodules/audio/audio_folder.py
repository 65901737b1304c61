"""Any data set of sounds with one folder a class."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.listing import SOUNDS, Recordings, hold_out_speakers
from blockyard.datamodules.class_folders import ClassFolders
from blockyard.datamodules.listing import Listing
from blockyard.mistakes import DataError


class AudioFolder(ClassFolders, AudioDataModule):
    """Sounds in ``root/{train,val,test}/<class>/``, of any length and rate.

    With ``speaker``, whole speakers (or devices, or places) of all classes together are held out for validation (see
    :func:`~blockyard.datamodules.audio.listing.hold_out_speakers`).

    Args:
        root: Folder with ``train`` in it, and ``val`` and ``test`` as far as they are used.
        val_fraction: Share held out for validation where there is no ``val`` folder.
        speaker: Regular expression whose first group, or else whole match, names the speaker in a file name, such as
            ``^([0-9a-f]+)_``.
        options: Those of :class:`~blockyard.datamodules.audio.base.AudioDataModule`; ``predict_path`` None means
            ``root/predict``.

    Raises:
        ValueError: If a number is out of range, or the expression is none.
    """

    laid_out = "DIR/train/<class>/*.wav"
    kind = SOUNDS

    def __init__(self, root: str, val_fraction: float = 0.1, speaker: str | None = None, **options: Any) -> None:
        super().__init__(root, val_fraction, **options)
        try:
            self.speaker = re.compile(speaker) if speaker else None
        except re.error as error:
            raise ValueError(f"AudioFolder: speaker={speaker!r} is no regular expression: {error}") from error

    def recordings(self, split: str) -> Recordings:
        """The sounds of a split's folder, class by class."""
        found = self.files_of(split)
        return Recordings(found.paths, found.names, found.targets)

    def hold_out(self, listing: Listing) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """By class, or by speaker where the file names tell them."""
        if self.speaker is None:
            return super().hold_out(listing)
        return hold_out_speakers(_speakers(listing.paths, self.speaker), self.val_fraction)


def _speakers(paths: Sequence[Path], pattern: re.Pattern[str]) -> list[str]:
    matches = [pattern.search(path.name) for path in paths]
    if unnamed := [path for path, match in zip(paths, matches, strict=True) if not match]:
        raise DataError(f"speaker={pattern.pattern!r} matches nothing in the name of {unnamed[0]}")
    return [match[1] if pattern.groups else match[0] for match in matches if match]

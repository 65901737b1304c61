"""Any data set of sounds with one folder a class."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.audio.base import AudioDataModule
from blockyard.datamodules.audio.listing import SOUNDS, Recordings, find_audio, hold_out_speakers
from blockyard.datamodules.class_folders import labelled_files, training_classes
from blockyard.datamodules.holding_out import hold_out
from blockyard.mistakes import DataError


class AudioFolder(AudioDataModule):
    """Sounds in ``root/{train,val,test}/<class>/``, of any length and rate.

    Classes are the sorted folder names of ``train``; the other splits must have the same ones. Sounds are the files
    below a class folder, at any depth, sorted by path; links are followed, and what is passed over is told. Without a
    ``val`` folder, the last ``val_fraction`` of each class's training sounds are for validation; with ``speaker``,
    instead whole speakers (or devices, or places) of all classes together (see
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

    def __init__(self, root: str, val_fraction: float = 0.1, speaker: str | None = None, **options: Any) -> None:
        root = os.fspath(root)  # a Path among the hyperparameters would make checkpoints unreadable
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"AudioFolder: val_fraction={val_fraction} must be between 0 and 1")
        try:
            self.speaker = re.compile(speaker) if speaker else None
        except re.error as error:
            raise ValueError(f"AudioFolder: speaker={speaker!r} is no regular expression: {error}") from error
        self.root = Path(root)
        self.val_fraction = val_fraction

    @cached_property
    def classes(self) -> list[str]:
        """Sorted folder names of ``train``."""
        return training_classes(self.root, SOUNDS)

    def recordings(self, split: str) -> Recordings:
        """The sounds of a split's folder, class by class."""
        if split == "predict":
            return find_audio(self.root / "predict")
        carve = split != "test" and not (self.root / "val").is_dir()
        found = labelled_files(self.root / ("train" if carve else split), self.classes, SOUNDS)
        listing = Recordings(found.paths, found.names, found.targets)
        return listing.take(self._carve(listing)[split == "val"]) if carve else listing

    def _carve(self, listing: Recordings) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        if self.speaker is None:
            assert listing.targets is not None
            return hold_out(listing.targets, self.val_fraction, self.classes)
        return hold_out_speakers(_speakers(listing.paths, self.speaker), self.val_fraction)


def _speakers(paths: Sequence[Path], pattern: re.Pattern[str]) -> list[str]:
    matches = [pattern.search(path.name) for path in paths]
    if unnamed := [path for path, match in zip(paths, matches, strict=True) if not match]:
        raise DataError(f"speaker={pattern.pattern!r} matches nothing in the name of {unnamed[0]}")
    return [match[1] if pattern.groups else match[0] for match in matches if match]

"""Any data set of videos with one folder a class."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from blockyard.datamodules.base import DataError
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.video.base import VideoDataModule
from blockyard.datamodules.video.listing import Listing, find_videos


class VideoFolder(VideoDataModule):
    """Videos in ``root/{train,val,test}/<class>/``, of any size, length and rate.

    Classes are the sorted folder names of ``train``; the other splits must have the same ones. Videos are the files
    below a class folder, at any depth, sorted by path. Without a ``val`` folder, the last ``val_fraction`` of each
    class's training videos are for validation: give a ``val`` folder if clips are cut from the same recording.

    Args:
        root: Folder with ``train`` in it, and ``val`` and ``test`` as far as they are used.
        val_fraction: Share held out for validation where there is no ``val`` folder.
        options: Those of :class:`~blockyard.datamodules.video.base.VideoDataModule`; ``predict_path`` None means
            ``root/predict``.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(self, root: str, val_fraction: float = 0.1, **options: Any) -> None:
        root = os.fspath(root)  # a Path among the hyperparameters would make checkpoints unreadable
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"VideoFolder: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.val_fraction = val_fraction

    @cached_property
    def _training_classes(self) -> list[str]:
        classes = _folders(self.root / "train")
        if len(classes) < 2:
            raise DataError(f"{self.root / 'train'}: at least two class folders expected, found {len(classes)}")
        return classes

    @property
    def classes(self) -> list[str]:
        """Sorted folder names of ``train``."""
        return self._training_classes

    def videos(self, split: str) -> Listing:
        """The videos of a split's folder, class by class."""
        if split == "predict":
            return find_videos(self.root / "predict")
        carve = split != "test" and not (self.root / "val").is_dir()
        listing = self._labelled(self.root / ("train" if carve else split))
        if carve and listing.targets is not None:
            return listing.take(hold_out(listing.targets, self.val_fraction, self.classes)[split == "val"])
        return listing

    def _labelled(self, folder: Path) -> Listing:
        if differing := sorted(set(_folders(folder)) ^ set(self.classes)):
            where = [f"{name} (only in {'train' if name in self.classes else folder.name})" for name in differing]
            raise DataError(f"{folder}: its classes are not those of train: {', '.join(where[:5])}")
        found = [find_videos(folder / name) for name in self.classes]
        names = [f"{title}/{name}" for title, part in zip(self.classes, found, strict=True) for name in part.names]
        targets = np.repeat(np.arange(len(found)), [len(part.paths) for part in found])
        return Listing([path for part in found for path in part.paths], names, targets)


def _folders(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: videos are expected in {folder}/<class>/*.mp4 (or .avi, .mkv, .webm, …)")
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))

"""Any classification data set with one folder a class."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

from blockyard.datamodules.class_folders import Listing, files_of_split, training_classes
from blockyard.datamodules.image.base import ImageDataModule
from blockyard.datamodules.images import PICTURES


class ImageFolder(ImageDataModule):
    """Pictures in ``root/{train,val,test}/<class>/``, of any size and of most kinds.

    Classes are the sorted folder names of ``train``; the other splits must have the same ones. Pictures are the files
    below a class folder, at any depth, sorted by path; links are followed. Hidden files and other kinds of file are
    passed over, of which a warning tells. Without a ``val`` folder, the last ``val_fraction`` of each class's training
    pictures are for validation.

    Args:
        root: Folder with ``train`` in it, and ``val`` and ``test`` as far as they are used.
        val_fraction: Share held out for validation where there is no ``val`` folder.
        options: Those of :class:`~blockyard.datamodules.image.base.ImageDataModule`; ``predict_folder`` None means
            ``root/predict``.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(self, root: str, val_fraction: float = 0.1, **options: Any) -> None:
        root = os.fspath(root)  # a Path among the hyperparameters would make checkpoints unreadable
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"ImageFolder: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.val_fraction = val_fraction

    @cached_property
    def classes(self) -> list[str]:
        """Sorted folder names of ``train``."""
        return training_classes(self.root, PICTURES)

    def pictures(self, split: str) -> Listing:
        """The pictures of a split's folder, class by class."""
        if split == "predict":
            return PICTURES.find(self.root / "predict")
        return files_of_split(self.root, split, self.classes, PICTURES, self.val_fraction)

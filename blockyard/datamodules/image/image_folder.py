"""Any classification data set with one folder a class."""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import albumentations as A
import cv2
import numpy as np

from blockyard.datamodules.base import DataError, DataModule
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD, ImageFiles, Images

SUFFIXES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class ImageFolder(DataModule):
    """Pictures in ``root/{train,val,test}/<class>/``, of any size and of most kinds.

    Classes are the sorted folder names of ``train``; the other splits must have the same ones. Pictures are the files
    below a class folder, at any depth, sorted by path; hidden files and other kinds of file are passed over. Without a
    ``val`` folder, the last ``val_fraction`` of each class's training pictures are for validation. See
    :class:`~blockyard.datamodules.images.ImageFiles` for how grey, CMYK and 16-bit pictures become RGB.

    Training pictures are cropped at random to a share ``scale`` of their area, resized to ``size`` and flipped;
    the others are resized to ``resize`` on their short side and cropped in the middle.

    Args:
        root: Folder with ``train`` in it, and ``val`` and ``test`` as far as they are used.
        size: Height and width of the input.
        resize: Short side before the middle crop; None means ``size / 0.875``.
        scale: Smallest and largest share of the area that a training crop covers.
        flip: Whether training pictures are flipped horizontally at random.
        val_fraction: Share held out for validation where there is no ``val`` folder.
        predict_folder: Unlabelled pictures for ``predict``, at any depth; None means ``root/predict``.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
        batch_size: Global batch size.
        num_workers: Worker processes a process.
        seed: Seed of order and augmentation; None takes the one of ``seed_everything``.

    Raises:
        ValueError: If a number is out of range.
    """

    def __init__(
        self,
        root: str,
        size: int = 224,
        resize: int | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        flip: bool = True,
        val_fraction: float = 0.1,
        predict_folder: str | None = None,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        batch_size: int = 64,
        num_workers: int = 2,
        seed: int | None = None,
    ) -> None:
        super().__init__(batch_size, num_workers, seed)
        # A Path among the hyperparameters would make checkpoints unreadable.
        root, predict_folder = os.fspath(root), predict_folder and os.fspath(predict_folder)
        self.save_hyperparameters()
        if size < 1 or (resize is not None and resize < size):
            raise ValueError(f"ImageFolder: size={size} must be positive and resize={resize} at least as large")
        if not 0 < val_fraction < 1:
            raise ValueError(f"ImageFolder: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.predict_folder = Path(predict_folder) if predict_folder else self.root / "predict"
        self.size = size
        self.resize = resize or round(size / 0.875)
        self.scale = scale
        self.flip = flip
        self.val_fraction = val_fraction
        self.mean = mean
        self.std = std

    @cached_property
    def _training_classes(self) -> list[str]:
        classes = sorted(path.name for path in _visible(_existing(self.root / "train")) if path.is_dir())
        if len(classes) < 2:
            raise DataError(f"{self.root / 'train'}: at least two class folders expected, found {len(classes)}")
        return classes

    @property
    def classes(self) -> list[str]:
        """Sorted folder names of ``train``."""
        return self._training_classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, size, size)``."""
        return (3, self.size, self.size)

    def load(self, split: str) -> Images:
        """List a split; the pictures themselves are read when asked for."""
        if split == "predict":
            folder, paths, targets = self.predict_folder, _pictures(self.predict_folder), None
        else:
            carve = split != "test" and not (self.root / "val").is_dir()
            folder = self.root / ("train" if carve else split)
            paths, targets = self._labelled(folder)
            if carve:
                rows = hold_out(targets, self.val_fraction, self.classes)[split == "val"]
                paths, targets = [paths[row] for row in rows], targets[rows]
        names = [path.relative_to(folder).as_posix() for path in paths]
        return Images(ImageFiles(paths), targets, names, self._transform(split == "train"), self.mean, self.std)

    def _labelled(self, folder: Path) -> tuple[list[Path], np.ndarray]:
        found = {path.name for path in _visible(_existing(folder)) if path.is_dir()}
        if differing := sorted(found ^ set(self.classes)):
            where = [f"{name} (only in {folder.name if name in found else 'train'})" for name in differing]
            raise DataError(f"{folder}: its classes are not those of train: {', '.join(where[:5])}")
        paths = [_pictures(folder / name) for name in self.classes]
        targets = np.repeat(np.arange(len(paths)), [len(members) for members in paths])
        return [path for members in paths for path in members], targets

    def _transform(self, training: bool) -> A.Compose:
        area = cv2.INTER_AREA  # where a picture shrinks, the only one that does not alias
        if not training:
            shrink = A.SmallestMaxSize(self.resize, interpolation=area)
            return A.Compose([shrink, A.CenterCrop(self.size, self.size)])
        crop = A.RandomResizedCrop((self.size, self.size), scale=self.scale, interpolation=area)
        return A.Compose([crop, *([A.HorizontalFlip(p=0.5)] if self.flip else [])])


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: pictures are expected in {folder}/<class>/*.jpg (or .png, .webp, …)")
    return folder


def _pictures(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is missing: it is where pictures are read from")
    paths = sorted(path for path in _visible(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise DataError(f"{folder} holds no picture; the kinds read are {', '.join(sorted(SUFFIXES))}")
    return paths


def _visible(paths: Path | Iterable[Path]) -> list[Path]:
    return [path for path in (paths.iterdir() if isinstance(paths, Path) else paths) if not path.name.startswith(".")]

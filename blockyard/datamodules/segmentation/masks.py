"""Mask files: one class index a pixel, checked, and mapped to the labels that networks learn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blockyard.media.picture_files import UPRIGHT, opened, orientation, turn
from blockyard.mistakes import DataError

Mask = NDArray[np.uint8]
"""``(H, W)``, labels 0, 1, … and 255 for what is ignored."""
Colour = tuple[int, int, int]

IGNORE = 255
LARGEST = 65_535
"""The largest value that a mask file can have for a class."""
INDEX_MODES = {"P", "L", "1", "I", "I;16", "I;16B"}
"""Pillow's names of the kinds of picture whose pixels are one number each."""


class MaskFiles(Sequence[Mask]):
    """Mask files as labels, uint8 ``(H, W)``, decoded when asked for.

    Of a picture with a palette the indices are read, never the colours. A ``.mat`` file is one of the Semantic
    Boundaries Dataset.

    Args:
        paths: The files.
        labels: From the values that may occur in the files to labels; see :func:`class_labels`.
        hint: What to say after a complaint of a value that may not occur, or of colours.
        colours: From the colours of pictures without a palette to labels; None refuses such pictures.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        labels: Mapping[int, int],
        hint: str = "",
        colours: Mapping[Colour, int] | None = None,
    ) -> None:
        self.paths = paths
        self.colours = None if colours is None else ColourTable(colours)
        self.hint = hint
        self.allowed = sorted(labels)
        # Two tables of bytes, of 256: OpenCV looks 2 megapixels up in a fraction of the time of NumPy's indexing.
        size = IGNORE + 1 if max(labels, default=0) <= IGNORE else LARGEST + 1
        self._labels = np.zeros(size, dtype=np.uint8)
        self._wrong = np.ones(size, dtype=np.uint8)
        for value, label in labels.items():
            self._labels[value], self._wrong[value] = label, 0

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Mask:  # type: ignore[override]
        """Decode one file, upright.

        Raises:
            DataError: If it is missing, damaged, colour-coded or holds a value that may not occur.
        """
        return self.read(index)[0]

    def read(self, index: int) -> tuple[Mask, int]:
        """Decode one file, and tell the orientation tag by which it was turned, 1 for none.

        Raises:
            DataError: If it is missing, damaged, colour-coded or holds a value that may not occur.
        """
        path = self.paths[index]
        coloured = None if self.colours is None or path.suffix == ".mat" else read_colours(path)
        if self.colours is not None and coloured is not None:
            return self.colours.labels(path, coloured[0]), coloured[1]
        values, tag = (read_boundaries(path), UPRIGHT) if path.suffix == ".mat" else read_indices(path, self.hint)
        return self.labels_of(path, values), tag

    def labels_of(self, path: Path, values: NDArray[np.integer]) -> Mask:
        """The labels of the numbers ``(H, W)`` in a file.

        Raises:
            DataError: If one of them may not occur.
        """
        wrong = self._unexpected(values)
        if wrong.any():
            found = f"value {int(values[wrong].max())} is wrong, as are {int(wrong.sum()):,} of {wrong.size:,} pixels"
            raise DataError(f"{path}: {found}; {spans(self.allowed)} may occur{self.hint}")
        return _looked_up(values, self._labels)

    def _unexpected(self, values: NDArray[np.integer]) -> NDArray[np.bool_]:
        if values.dtype == np.uint8:
            return _looked_up(values, self._wrong).astype(bool)
        inside = (values >= 0) & (values < len(self._wrong))
        return ~inside | (self._wrong[np.where(inside, values, 0)] == 1)


def _looked_up(values: NDArray[np.integer], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The bytes of a table at values ``(H, W)`` that are in it."""
    if values.dtype != np.uint8 and len(table) > IGNORE + 1:
        return table[values]
    return np.asarray(cv2.LUT(values.astype(np.uint8, copy=False), table[: IGNORE + 1]), dtype=np.uint8)


class ColourTable:
    """Which colour is which label.

    Args:
        colours: From colours to labels.
    """

    def __init__(self, colours: Mapping[Colour, int]) -> None:
        packed = np.array([_packed(np.array(colour)) for colour in colours])
        order = np.argsort(packed)
        self.packed = packed[order]
        self.values = np.array(list(colours.values()), dtype=np.uint8)[order]

    def labels(self, path: Path, pixels: NDArray[np.uint8]) -> Mask:
        """Labels ``(H, W)`` of pixels ``(H, W, 3)``.

        Raises:
            DataError: If there is a colour that is not in the table; ``path`` is what the message names.
        """
        packed = _packed(pixels)
        places = np.searchsorted(self.packed, packed).clip(max=len(self.packed) - 1)
        wrong = self.packed[places] != packed
        if wrong.any():
            colour = tuple(pixels[wrong][0].tolist())
            count = int((packed == _packed(np.array(colour))).sum())
            others = int(wrong.sum()) - count
            found = f"colour {colour} of {count:,} pixels" + (f", with {others:,} in other colours," if others else "")
            raise DataError(f"{path}: {found} is none of the {len(self.packed)} that may occur")
        return self.values[places]


def _packed(colour: NDArray[Any]) -> NDArray[np.int64]:
    return np.asarray(colour.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1]))


def read_colours(path: Path) -> tuple[NDArray[np.uint8], int] | None:
    """Read the colours ``(H, W, 3)`` of a picture, upright, and its orientation tag.

    None if it has one number a pixel, or transparent pixels, or is compressed with loss: that is for
    :func:`read_indices` to read or to refuse.
    """
    try:
        with opened(path) as image:
            if image.mode not in ("RGB", "RGBA") or image.format == "JPEG":
                return None
            if image.mode == "RGBA" and image.getchannel("A").getextrema()[0] != 255:
                return None
            tag = orientation(image) if image.format == "TIFF" else None  # which Pillow turns as it is loaded
            pixels = np.asarray(image.convert("RGB"))
            return (turn(pixels, orientation(image)), orientation(image)) if tag is None else (pixels, tag)
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None


def read_indices(path: Path, hint: str = "") -> tuple[NDArray[np.integer], int]:
    """Read the numbers ``(H, W)`` of a picture with one number a pixel, upright, and its orientation tag.

    Args:
        path: The file.
        hint: What to say after a complaint of colours.

    Raises:
        DataError: If it is missing or damaged, or has colours instead of numbers.
    """
    try:
        with opened(path) as image:
            tag = orientation(image) if image.format == "TIFF" else None  # which Pillow turns as it is loaded
            if image.mode not in INDEX_MODES or image.format == "JPEG":
                kind = "compressed as JPEG, which changes values" if image.format == "JPEG" else f"of mode {image.mode}"
                raise DataError(
                    f"{path}: a mask must hold one class index a pixel (a grey PNG or one with a palette), "
                    f"but this one is {kind}{_first_colour(image)}{hint}"
                )
            values = np.asarray(image)
            if tag is None:
                tag = orientation(image)
                values = turn(values, tag)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: missing, damaged or not a picture ({error})") from error
    return (values.astype(np.uint8) if values.dtype == bool else values), tag


def read_boundaries(path: Path) -> NDArray[np.integer]:
    """Read the class indices ``(H, W)`` of a ``cls/<id>.mat`` of the Semantic Boundaries Dataset.

    Raises:
        DataError: If it is missing or damaged, or if scipy is not installed.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise DataError(f"{path}: reading .mat files needs scipy: pip install scipy") from error
    try:
        values = loadmat(path, appendmat=False, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
        if values.ndim != 2 or not np.issubdtype(values.dtype, np.integer):
            raise ValueError(f"{values.dtype} of shape {values.shape}")
    except Exception as error:  # a damaged file can raise anything
        raise DataError(f"{path}: damaged or without GTcls.Segmentation ({' '.join(str(error).split())})") from error
    return np.asarray(values)


def class_labels(num_classes: int, ignored: Iterable[int] = (IGNORE,)) -> dict[int, int]:
    """Values 0 to ``num_classes - 1`` as they are, and ``ignored`` ones as 255."""
    return {value: value for value in range(num_classes)} | dict.fromkeys(ignored, IGNORE)


def reduce_zero(num_classes: int) -> dict[int, int]:
    """Value 0 as ignored, 1 to ``num_classes`` as 0 to ``num_classes - 1``."""
    return {0: IGNORE} | {value: value - 1 for value in range(1, num_classes + 1)}


def voc_palette(count: int) -> list[Colour]:
    """Pascal VOC's colours: bits 0, 3, 6 of an index, then 1, 4, 7 and so on, are the high bits of red, green, blue."""
    return [_voc_colour(index) for index in range(count)]


def _voc_colour(index: int) -> Colour:
    channels = [0, 0, 0]
    for bit in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * bit + channel) & 1) << (7 - bit)
    return channels[0], channels[1], channels[2]


def spans(values: Sequence[int]) -> str:
    """Ascending numbers in short: ``0 to 20, 255``."""
    runs: list[list[int]] = []
    for value in values:
        if runs and value == runs[-1][-1] + 1:
            runs[-1][1:] = [value]
        else:
            runs.append([value])
    return ", ".join(" to ".join(map(str, run)) for run in runs)


def _first_colour(image: Image.Image) -> str:
    """The first colour that differs from that of the corner, as an example."""
    colours = np.asarray(image.convert("RGB")).reshape(-1, 3)
    odd = colours[(colours != colours[0]).any(1)]
    example = (odd if len(odd) else colours)[0]
    return f", with values such as ({', '.join(str(part) for part in example.tolist())})"

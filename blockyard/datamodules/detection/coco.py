"""Pictures with boxes in COCO's layout."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from blockyard.datamodules.detection.base import DetectionDataModule
from blockyard.datamodules.detection.boxes import (
    LARGEST,
    BoxedListing,
    Boxes,
    checked_corners,
    is_place,
    is_whole,
    stated_size,
)
from blockyard.datamodules.listing import check_files
from blockyard.mistakes import DataError, nearest, printable

Rows = dict[str, list[dict[str, Any]]]
IDS = 1 << 63
"""Ids are smaller, either way."""


class COCODetection(DetectionDataModule):
    """Boxes in ``root/annotations/instances_NAME.json``, pictures in ``root/NAME`` or ``root/images/NAME``.

    Classes are the categories of the training file, in the order of their ids; the other files' categories go by their
    names. Masks in these files are not read.

    Args:
        root: Folder of the data.
        options: Those of :class:`~blockyard.datamodules.detection.base.DetectionDataModule`; the names of sets are
            NAME, such as ``train2017`` and ``val2017``.

    Raises:
        ValueError: If a number is out of range.
    """

    laid_out = "DIR/annotations/instances_train.json"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """The files of boxes to train on and to be judged by."""
        return [f"annotations/instances_{name}.json" for name in _sets(root).values()]

    @classmethod
    def opening(cls, root: Path) -> dict[str, Any]:
        """The folder, and what its sets are called."""
        return {"root": str(root), **_sets(root)}

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(**options)
        self.root = Path(root)

    @cached_property
    def _names(self) -> list[str]:
        file = self._file(self.train_set)
        if not file.is_file() and self._file(self.test_set).is_file():
            file = self._file(self.test_set)  # a test needs no more
        return [name for _, name in sorted(categories(read_instances(file), file).items())]

    @property
    def classes(self) -> list[str]:
        """Names of the categories, in the order of their ids."""
        return self._names

    def _file(self, name: str) -> Path:
        return self.root / "annotations" / f"instances_{name}.json"

    def list_boxes(self, name: str) -> BoxedListing:
        """The pictures that a file lists, in its order, with their boxes."""
        file = self._file(name)
        rows = read_instances(file)
        labels = _labels(categories(rows, file), self.classes, file)
        folder = next((place for place in (self.root / name, self.root / "images" / name) if place.is_dir()), None)
        if folder is None:
            raise DataError(f"{self.root / name} is missing: it is where the pictures of {file.name} are")
        images = {}
        for row in rows["images"]:
            if _identifier(row, file, "image") in images:
                raise DataError(f"{file}: image {row['id']} is there twice")
            images[row["id"]] = row
        names = [_checked_name(row, file) for row in images.values()]
        paths = [folder / part for part in names]
        check_files([str(path) for path in paths], file)
        sizes = {
            key: stated_size(row.get("height"), row.get("width"), f"{file}: image {key}") for key, row in images.items()
        }
        boxes = self._boxes(rows["annotations"], sizes, labels, file)
        listed = [Boxes.of(boxes[key]) for key in images]
        return BoxedListing(paths, names, listed, [file] * len(paths), list(sizes.values()))

    def _boxes(
        self, rows: list[dict[str, Any]], sizes: dict[Any, tuple[int, int] | None], labels: dict[int, int], file: Path
    ) -> dict[Any, list[Any]]:
        boxes: dict[Any, list[Any]] = defaultdict(list)
        faulty = []
        for row in rows:
            where = f"{file}: annotation {printable(str(row.get('id', '')))}"
            image, category = row.get("image_id"), row.get("category_id")
            if not is_whole(image, IDS) or image not in sizes:
                raise DataError(f"{where}: there is no image {image!r:.40}")
            if not is_whole(category, IDS) or category not in labels:
                said = nearest(str(category), map(str, labels))
                raise DataError(f"{where}: there is no category {category!r:.40}; {said}")
            crowd = _is_crowd(row, where)
            try:
                corners = checked_corners(_corners(row), sizes[image], where)
            except DataError as error:
                if not self.leave_out_faulty:
                    raise
                faulty.append(str(error))
                continue
            area = row.get("area")
            area = float(area) if isinstance(area, int | float) and area is not True and 0 < area < LARGEST**2 else None
            boxes[image].append((corners, labels[category], crowd, area))
        if faulty:
            rank_zero_warn(f"{len(faulty)} of {len(rows)} boxes are left out; the first: {faulty[0]}")
        return boxes


def _sets(root: Path) -> dict[str, str]:
    """Options that say which files are for what, by how their names begin; none without one to train on."""
    names = sorted(path.stem.removeprefix("instances_") for path in (root / "annotations").glob("instances_*.json"))
    train, val, test = (
        next((name for name in names if name.startswith(use)), None) for use in ("train", "val", "test")
    )
    if train is None:
        return {}
    found = {"train_set": train, "val_set": val if test else None, "test_set": test or val}
    return {option: name for option, name in found.items() if name}


def read_instances(file: Path) -> Rows:
    """The lists ``images``, ``annotations`` and ``categories`` of a file.

    Raises:
        DataError: If it is missing, or not of that kind; one line.
    """
    if not file.is_file():
        raise DataError(f"{file} is missing: images, annotations and categories as COCO's instances have them")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: no JSON: {' '.join(str(error).split())[:200]}") from error
    rows = content if isinstance(content, dict) else {}
    for name in ("images", "annotations", "categories"):
        part = rows.get(name)
        if not isinstance(part, list) or not all(isinstance(row, dict) for row in part):
            raise DataError(f"{file}: a list of objects called {name} expected, as COCO's instances have it")
    return rows


def categories(rows: Rows, file: Path) -> dict[int, str]:
    """Names by id.

    Raises:
        DataError: If there is none, or an id or a name is there twice.
    """
    found: dict[int, str] = {}
    for row in rows["categories"]:
        key, name = _identifier(row, file, "category"), row.get("name")
        if not isinstance(name, str) or not name or key in found or name in found.values():
            raise DataError(f"{file}: category {key} needs an id and a name of its own, got {name!r:.60}")
        found[key] = name
    if not found:
        raise DataError(f"{file}: there is no category")
    return found


def _labels(known: dict[int, str], classes: list[str], file: Path) -> dict[int, int]:
    places = {name: label for label, name in enumerate(classes)}
    for name in known.values():
        if name not in places:
            raise DataError(f"{file}: category {printable(name)} is not trained on; {nearest(name, classes)}")
    return {key: places[name] for key, name in known.items()}


def _identifier(row: dict[str, Any], file: Path, noun: str) -> int:
    key = row.get("id")
    if not is_whole(key, IDS):
        raise DataError(f"{file}: {noun}: a whole number of 64 bits expected as its id, found {key!r:.40}")
    return key


def _checked_name(row: dict[str, Any], file: Path) -> str:
    name = row.get("file_name")
    parts = name.split("/") if isinstance(name, str) else [""]
    if not parts[0] or parts[-1] in ("", ".") or ".." in parts:
        raise DataError(
            f"{file}: image {row['id']}: the name of a file in the pictures' folder expected, got {name!r:.60}"
        )
    return "/".join(parts)


def _is_crowd(row: dict[str, Any], where: str) -> bool:
    """Whether objects are many that are marked as one: 0 or 1, or false or true, as some tools write it."""
    crowd = row.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise DataError(f"{where}: iscrowd must be 0 or 1, got {crowd!r:.40}")
    return bool(crowd)


def _corners(row: dict[str, Any]) -> list[Any]:
    """Left, top, right, bottom of what COCO has as left, top, width, height; what is no such box stays as it is."""
    box = row.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_place, box)):
        return box if isinstance(box, list) else [box]
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]

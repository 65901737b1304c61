"""Crops of people with one folder a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from blockyard.datamodules.folders import LeftOut, folders_in
from blockyard.datamodules.images import PICTURES
from blockyard.datamodules.reid.base import PictureDataModule
from blockyard.datamodules.reid.market1501 import find_market
from blockyard.datamodules.reid.own_people import OwnPeople, Part, Row
from blockyard.mistakes import DataError


class PersonFolder(OwnPeople, PictureDataModule):
    """Pictures in ``root/{train,query,gallery}/<person>/``, of any size and of most kinds.

    Where there are neither ``query`` nor ``gallery``, ``root/test/<person>/`` is asked for and searched;
    ``root/val`` is for validation if it is there. A person's sub-folders are cameras, ``<person>/<camera>/1.jpg``, or
    ``camera`` says which one took a picture; without either one camera is assumed, see
    :class:`~blockyard.datamodules.reid.own_people.OwnPeople`.

    Args:
        root: Folder with ``train`` in it, and the others as far as they are used.
        camera: Regular expression whose first group, or else whole match, names the camera in a file name, such as
            ``_c([0-9]+)``.
        options: Those of :class:`~blockyard.datamodules.reid.base.PersonDataModule`.

    Raises:
        ValueError: If a number is out of range, or the expression is none.
    """

    laid_out = "DIR/{train,query,gallery}/<person>/*.jpg"

    @classmethod
    def parts(cls, root: Path) -> list[str]:
        """``train`` with ``query`` or ``gallery``, or with a ``test`` of other people alone."""
        if not (root / "train").is_dir():
            return []
        searched = [name for name in ("query", "gallery") if (root / name).is_dir()]
        people = {part: set(_people(root / part)) for part in ("train", "test")}
        others = ["test"] if people["test"] and people["train"].isdisjoint(people["test"]) else []
        return ["train", *searched, *others] if searched or others else []

    names_cameras = "a sub-folder a camera, or --data.camera"

    def __init__(self, root: str, camera: str | None = None, **options: Any) -> None:
        super().__init__(root, **options)
        try:
            self.camera = re.compile(camera) if camera else None
        except re.error as error:
            raise ValueError(f"PersonFolder: camera={camera!r} is no regular expression: {error}") from error

    def list_rows(self, part: Part) -> list[Row]:
        """The pictures of a part's folder, person by person."""
        folder = self.root / part
        if not folder.is_dir():
            return []
        left = LeftOut()
        people = folders_in(folder, left, "the people's folders")
        found = {person: PICTURES.list_below(folder / person, left) for person in people}
        left.tell(folder, PICTURES.noun)
        if not people:
            raise DataError(f"{folder} holds no folder of a person: pictures are expected in {folder}/<person>/*.jpg")
        return [
            Row([str(path)], f"{part}/{person}/{name}", person, camera)
            for person, listing in found.items()
            for path, name, camera in zip(
                listing.paths, listing.names, self._cameras(folder / person, listing.names), strict=True
            )
        ]

    def expected(self) -> str:
        """Where training is looked for, or what else the folder holds."""
        if find_market(self.root) is not None:
            return "this is Market-1501's layout, which --config person_reid/market1501.yaml --data.verify false reads"
        return f"pictures are expected in {self.root / 'train'}/<person>/*.jpg (or .png, .webp, …)"

    def _cameras(self, folder: Path, names: Sequence[str]) -> list[str]:
        """Of a person's pictures, named relative to their folder, what took each; empty if nothing says."""
        if self.camera is not None:
            return [_match(self.camera, folder / name) for name in names]
        cameras = [name.partition("/")[0] if "/" in name else "" for name in names]
        if any(cameras) and not all(cameras):
            raise DataError(f"{folder}: {names[cameras.index('')]} lies beside the cameras' folders: put it into one")
        return cameras


def _people(folder: Path) -> list[str]:
    return folders_in(folder, LeftOut(), "") if folder.is_dir() else []


def _match(pattern: re.Pattern[str], path: Path) -> str:
    found = pattern.search(path.name)
    name = found[1] if found and pattern.groups else found[0] if found else ""
    if not name:
        raise DataError(f"camera={pattern.pattern!r} matches nothing in the name of {path}")
    return name

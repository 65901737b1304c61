"""Small sets of figures to be found again, which games in packages ship: what few_samples.py trains on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from flare_figures import shown
from numpy.typing import NDArray
from PIL import Image
from small_sets import Part, Writer, Written

Picture = NDArray[np.uint8]
"""``(H, W, 3)``."""
PEOPLES = ("dwarves", "elves-wood", "human-loyalists", "human-magi", "human-outlaws", "human-peasants", "orcs")
BEASTS = ("drakes", "goblins", "merfolk", "monsters", "nagas", "ogres", "saurians", "trolls", "undead", "woses")
"""Folders of Wesnoth's figures: of people, a few of them mounted, and of others."""
MOST = 6
"""Pictures of a figure that defends itself, and of it in all other animations."""
VIEWS = 32
"""Pictures of a robot, which turns once around."""


class Sighting(NamedTuple):
    """A picture of somebody.

    Attributes:
        person: Who it is, numbered from 0.
        camera: What took it, in a wider sense, numbered from 0.
        asked: Whether it is asked for in a test.
        picture: ``(H, W, 3)``.
    """

    person: int
    camera: int
    asked: bool
    picture: Picture


def save_people(root: Path, sightings: Sequence[Sighting]) -> Written:
    """Every third person is tested on; 128×64 pixels for the references, labels as ``moving_sets.walkers`` has them."""
    parts = []
    for split in ("train", "test"):
        chosen = [one for one in sightings if (one.person % 3 == 0) == (split == "test")]
        for number, one in enumerate(chosen):
            name = {"train": "train", "test": "query" if one.asked else "gallery"}[split]
            folder = root / name / f"{one.person:03d}" / f"camera {one.camera}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one.picture).save(folder / f"{number:04d}.png")
        small = [cv2.resize(one.picture, (64, 128), interpolation=cv2.INTER_AREA) for one in chosen]
        labels = [(one.person, one.camera, one.asked) for one in chosen]
        parts.append(Part(np.stack(small).transpose(0, 3, 1, 2).astype(np.float32) / 255, np.array(labels)))
    return parts[0], parts[1]


def characters(folders: Sequence[str]) -> Writer:
    """Which of Wesnoth's drawn figures it is: while it defends itself, found among all in their other animations.

    Args:
        folders: That they are from.
    """

    def write(material: Path, root: Path) -> Written:
        core = next(material.rglob("wesnoth/*/data/core"))
        figures = sorted(_animations(core, folders).items())
        seen = [kinds for _, kinds in figures if all(kinds)]
        sightings = [
            Sighting(person, camera, camera == 0, _cut_out(Image.open(path).convert("RGBA")))
            for person, kinds in enumerate(seen)
            for camera, paths in enumerate(kinds)
            for path in paths[:: -(-len(paths) // MOST)]
        ]
        return save_people(root, sightings)

    return write


def _animations(core: Path, folders: Sequence[str]) -> dict[str, tuple[list[Path], list[Path]]]:
    """The drawings in which each figure defends itself, and its others; a unit's first picture begins their names."""
    units, pictures = sorted((core / "units").rglob("*.cfg")), core / "images" / "units"
    first = [
        re.search(r'^\s*image="units/(.+?)\.png', unit.read_text(errors="replace"), re.MULTILINE) for unit in units
    ]
    starts = [found[1] for found in first if found]
    files: dict[str, tuple[list[Path], list[Path]]] = defaultdict(lambda: ([], []))
    for path in sorted(path for folder in folders for path in (pictures / folder).rglob("*.png")):
        name = path.relative_to(pictures).with_suffix("").as_posix()
        figures = [start for start in starts if name == start or name.startswith(f"{start}-")]
        if figures:
            files[max(figures, key=len)]["defend" not in name].append(path)
    return files


def _cut_out(drawing: Image.Image) -> Picture:
    """A figure without what is transparent around it."""
    return shown(drawing.crop(drawing.getbbox()))


def robots(material: Path, root: Path) -> Written:
    """Which of FreedroidRPG's robots it is: from the front, found among all from the sides and from behind."""
    folders = sorted(path.parent for path in material.rglob(f"graphics/droids/*/portrait_{VIEWS:04d}.jpg"))
    sightings = []
    for person, folder in enumerate(folders):
        for view in range(VIEWS):
            quarter = (view + VIEWS // 8) % VIEWS // (VIEWS // 4)
            picture = np.asarray(Image.open(folder / f"portrait_{view + 1:04d}.jpg").convert("RGB"))
            sightings.append(Sighting(person, quarter, quarter == 0, picture))
    return save_people(root, sightings)

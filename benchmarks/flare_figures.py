"""The creatures of Flare, a game in a package: each drawn from eight sides in everything that it does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DEEDS = ("stance", "run", "swing", "die")
SIDES = 8
BACKGROUND = (128, 128, 128)
"""What lies behind drawings that are transparent there."""
Drawings = dict[str, list[list[Image.Image]]]
"""By deed and side, in order of time: squares with an alpha channel, one place of the ground in all of a creature."""


def creatures(material: Path, part: str) -> Iterator[Drawings]:
    """Those of a part of the game that do all of :data:`DEEDS`, by name: ``fantasycore`` or ``empyrean_campaign``."""
    place = next(path for path in material.rglob(f"flare/mods/{part}") if path.is_dir())
    for sheet in sorted((place / "images" / "enemies").glob("*.png")):
        text = (place / "animations" / "enemies" / f"{sheet.stem}.txt").read_text()
        sections = dict(re.findall(r"^\[(\w+)\]\n(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL))
        if all(deed in sections for deed in DEEDS):
            yield _cut(Image.open(sheet).convert("RGBA"), {deed: _frames(sections[deed]) for deed in DEEDS})


Frame = tuple[int, int, int, int, int, int]
"""Left, top, width and height in the sheet, and where in it the creature stands."""


def _frames(section: str) -> dict[tuple[int, int], Frame]:
    """By time and side."""
    numbers = [[int(x) for x in line.split(",")] for line in re.findall(r"^frame=(.+)$", section, re.MULTILINE)]
    return {(time, side): (*frame,) for time, side, *frame in numbers}  # type: ignore[misc]


def _cut(sheet: Image.Image, frames: dict[str, dict[tuple[int, int], Frame]]) -> Drawings:
    """Squares that hold the creature where it stands and runs; what reaches further is cut off."""
    upright = np.array([frame[2:] for deed in ("stance", "run") for frame in frames[deed].values()])
    left, top = upright[:, 2:].max(0)
    right, bottom = (upright[:, :2] - upright[:, 2:]).max(0)
    length = int(max(left + right, top + bottom))
    ground = (length + int(left) - int(right)) // 2, (length + int(top) - int(bottom)) // 2
    drawn: Drawings = {}
    for deed, found in frames.items():
        drawn[deed] = [[] for _ in range(SIDES)]
        for (_, side), (x, y, width, height, *stands) in sorted(found.items()):
            square = Image.new("RGBA", (length, length))
            part = sheet.crop((x, y, x + width, y + height))
            square.paste(part, (ground[0] - stands[0], ground[1] - stands[1]))
            drawn[deed][side].append(square)
    return drawn


def shown(drawing: Image.Image) -> NDArray[np.uint8]:
    """Before a plain background, ``(H, W, 3)``."""
    ground = Image.new("RGBA", drawing.size, (*BACKGROUND, 255))
    return np.asarray(Image.alpha_composite(ground, drawing).convert("RGB"))

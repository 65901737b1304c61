"""Writes pictures, masks and lists as Pascal VOC has them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
QUALITY = 90
"""Of JPEG files, up to 100."""


def save_picture(path: Path, picture: Pixels, mode: str = "RGB") -> None:
    """Write a picture ``(H, W, 3)`` in a colour mode of Pillow, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).convert(mode).save(path, quality=QUALITY)


def save_mask(path: Path, mask: Pixels, palette: Sequence[tuple[int, int, int]] | None = None) -> None:
    """Write a mask ``(H, W)``, with a palette or in grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    if palette is not None:
        image.putpalette([channel for colour in palette for channel in colour])
    image.save(path)


def write_list(path: Path, names: Sequence[str]) -> None:
    """Write one name a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}\n" for name in names), encoding="ascii")

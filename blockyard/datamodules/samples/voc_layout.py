"""Writes pictures, masks and lists as Pascal VOC has them, into a folder that is there whole or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blockyard.datamodules.samples.ucf_layout import RECIPE, is_finished

Pixels = NDArray[np.uint8]
QUALITY = 90
"""Of JPEG files, up to 100."""


@contextmanager
def new_folder(root: Path, recipe: dict[str, Any]) -> Iterator[Path | None]:
    """A folder to write into, which becomes ``root`` when all is written, or is gone.

    Args:
        root: Folder of the data set.
        recipe: What the data set is a function of; kept in it.

    Yields:
        Where to write; None if ``root`` was made by this recipe before.

    Raises:
        DataError: If ``root`` holds anything else.
    """
    if is_finished(root, recipe):
        yield None
        return
    temporary = root.with_name(f".{root.name}.{uuid.uuid4().hex}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        (temporary / RECIPE).write_text(json.dumps(recipe, indent=2) + "\n")
        try:
            temporary.rename(root)  # onto nothing or an empty folder, never onto a full one
        except OSError:
            if not is_finished(root, recipe):  # another process was first with the same
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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

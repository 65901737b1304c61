"""Parts of pictures that are too large to be held, read from the file where its format allows it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from PIL import TiffImagePlugin

from blockyard.media.geotiff import Window, read_bands
from blockyard.media.picture_files import SIDEWAYS, UNREADABLE, Pixels, opened, orientation
from blockyard.mistakes import DataError

Size = tuple[int, int]
"""Height and width."""
WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, ORIENTATION, FORMAT = 256, 257, 258, 259, 262, 274, 339
"""Tags of TIFF."""
BIG = 43
"""Where a TIFF file says its version: that its addresses have 8 bytes."""
LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)
"""Compressions of TIFF by which every reader makes the same pixels."""
PLAIN = {(1, (8,)), (2, (8, 8, 8))}
"""Of TIFF files whose values are brightness as it is: black is 0 or colours are RGB, and the bits of the samples."""


def picture_size(path: Path) -> Size:
    """Height and width of a picture, upright, without reading its pixels.

    Raises:
        DataError: If it is missing or no picture.
    """
    if (size := _plain_tiff(path)) is not None:
        return size
    try:
        with opened(path) as image:
            width, height = image.size
            # Of a TIFF file Pillow tells the size as it will be once it is loaded, and so turned.
            sideways = image.format != "TIFF" and orientation(image) in SIDEWAYS
            return (width, height) if sideways else (height, width)
    except UNREADABLE as error:
        raise DataError(f"{path}: damaged or not a picture ({' '.join(str(error).split())})") from error


def read_window(path: Path, window: Window) -> Pixels | None:
    """Pixels ``(h, w, 3)`` of a part of a picture, read without the rest: those that ``decode`` has there.

    Args:
        path: The file.
        window: Rows and columns within the picture.

    Returns:
        None where only the whole can be read: of any file but an upright TIFF of 8 bits, grey or RGB, compressed
        without loss, and of these too unless rasterio is installed.

    Raises:
        DataError: If such a file is damaged.
    """
    if _plain_tiff(path) is None:
        return None
    try:
        bands: Any = read_bands(path, window)
    except ImportError:
        return None
    return np.ascontiguousarray(np.broadcast_to(np.moveaxis(bands, 0, -1), (*bands.shape[1:], 3)))


def _plain_tiff(path: Path) -> Size | None:
    """Height and width of an upright TIFF file of 8 bits without loss, grey or RGB; None of any other file."""
    with suppress(*UNREADABLE, KeyError, TypeError, IndexError), path.open("rb") as file:
        head = file.read(8)
        tags = TiffImagePlugin.ImageFileDirectory_v2(head + (file.read(8) if BIG in (head[2], head[3]) else b""))
        file.seek(tags.next)
        tags.load(file)
        kind = (tags[PHOTOMETRIC], tuple(tags[BITS]))
        upright, unsigned = tags.get(ORIENTATION, 1) == 1, set(tags.get(FORMAT, (1,))) == {1}
        if kind in PLAIN and upright and unsigned and tags.get(COMPRESSION, 1) in LOSSLESS:
            return int(tags[HEIGHT]), int(tags[WIDTH])
    return None

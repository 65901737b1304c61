"""TIFF files through rasterio, which reads and writes them window by window."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from blockyard.mistakes import DataError

Window = tuple[slice, slice]
"""Rows and columns."""


def read_bands(path: Path, window: Window) -> NDArray[Any]:
    """Values ``(C, h, w)`` of a part of a file, of the type that it has.

    Args:
        path: The file.
        window: Rows and columns.

    Raises:
        DataError: If it is missing or damaged.
        ImportError: If rasterio is not installed.
    """
    from rasterio.windows import Window as Part

    with opened(path) as file:
        values: NDArray[Any] = file.read(window=Part.from_slices(*window))
        return values


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file, open as rasterio's data set.

    Raises:
        DataError: If it is missing or damaged, also where that shows as it is read.
        ImportError: If rasterio is not installed.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            file = rasterio.open(path)
        with file:
            yield file
    except RasterioError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise DataError(f"{path}: damaged or not a picture ({reason}); replace or remove it") from error

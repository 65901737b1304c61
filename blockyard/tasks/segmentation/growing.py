"""Files of a picture that grow from the top as its tiles come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from blockyard import files
from blockyard.datamodules.segmentation.tiles import Tile
from blockyard.media.geotiff import Raster
from blockyard.media.geotiff_rows import GeoTIFFRows
from blockyard.media.png_rows import PNGRows

Size = tuple[int, int]


class Rows(Protocol):
    """A picture file that is written a few rows at a time."""

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows ``(h, W)`` or ``(h, W, 3)``."""


Opened = AbstractContextManager[Rows]
"""A file, there once it is closed without an error, and not at all after one."""


@contextmanager
def png(path: Path, size: Size, **options: Any) -> Iterator[Rows]:
    """A PNG of that height and width; the options are those of :class:`~blockyard.media.png_rows.PNGRows`."""
    with files.in_place_of(path) as temporary, temporary.open("xb") as file:
        rows = PNGRows(file, size, **options)
        yield rows
        rows.close()


@contextmanager
def geotiff(path: Path, like: Raster, **options: Any) -> Iterator[Rows]:
    """A GeoTIFF that lies where another one does; options: :class:`~blockyard.media.geotiff_rows.GeoTIFFRows`."""
    with files.in_place_of(path) as temporary, GeoTIFFRows(temporary, like, **options) as rows:
        yield rows


class GrowingFiles:
    """The files of a picture; no more of them is in memory than a row of tiles.

    Args:
        width: Of the picture.
        opened: The files, each under a name.
    """

    def __init__(self, width: int, opened: Mapping[str, Opened]) -> None:
        self._width, self._stack = width, ExitStack()
        self._rows = {name: self._stack.enter_context(file) for name, file in opened.items()}
        self._bands: dict[str, NDArray[Any]] = {}

    def add(self, tile: Tile, pixels: Mapping[str, NDArray[Any]]) -> None:
        """Add what is kept of a tile, ``(h, w)`` or ``(h, w, 3)`` for each file; tiles come row by row."""
        for name, part in pixels.items():
            columns = tile.kept[1]
            if columns.start == 0:
                self._bands[name] = np.empty((len(part), self._width, *part.shape[2:]), part.dtype)
            self._bands[name][:, columns] = part
            if columns.stop == self._width:
                self._rows[name].write(self._bands.pop(name))
        if tile.is_last:
            self._stack.close()

    def drop(self) -> None:
        """Leave no file, unless all are there already."""
        with suppress(_DroppedError), self._stack:
            raise _DroppedError


class _DroppedError(Exception):
    """A picture is left unfinished."""

"""Pictures too large for a network, in tiles that overlap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.segmentation.masked_pictures import WholePictures
from blockyard.media.picture_windows import Size, Window
from blockyard.mistakes import DataError

SHARE = 8
"""By default a tile has one in so many of its shorter side's pixels in common with the next one."""


@dataclass(frozen=True)
class Tile:
    """A part of a picture.

    Attributes:
        seen: Its rows and columns in the picture.
        kept: Those whose labels count: of a picture's tiles, each pixel is in one.
        size: Height and width of the picture.
    """

    seen: Window
    kept: Window
    size: Size

    @classmethod
    def whole(cls, size: Size) -> Tile:
        """A picture as one tile."""
        rows, columns = (slice(0, length) for length in size)
        return cls((rows, columns), (rows, columns), size)

    @property
    def is_first(self) -> bool:
        """Whether it is the upper left one of its picture."""
        return self.kept[0].start == self.kept[1].start == 0

    @property
    def is_last(self) -> bool:
        """Whether it is the lower right one of its picture."""
        return (self.kept[0].stop, self.kept[1].stop) == self.size

    @property
    def inside(self) -> Window:
        """Where ``kept`` lies within the tile."""
        rows, columns = (
            slice(kept.start - seen.start, kept.stop - seen.start)
            for seen, kept in zip(self.seen, self.kept, strict=True)
        )
        return rows, columns


def lay_tiles(size: Size, tile: Size, overlap: int) -> list[Tile]:
    """The tiles of a picture, row by row.

    The last one of a row or column ends with the picture and may be smaller: were it shifted inside, a network with
    strides would see other pixels together than in the whole picture. Labels are cut in the middle of overlaps.

    Args:
        size: Height and width of the picture.
        tile: Of a tile.
        overlap: Rows and columns that neighbours have in common.
    """
    down, across = (_along(length, side, overlap) for length, side in zip(size, tile, strict=True))
    return [
        Tile((rows, columns), (kept_rows, kept_columns), size)
        for (rows, kept_rows), (columns, kept_columns) in product(down, across)
    ]


def _along(length: int, side: int, overlap: int) -> list[tuple[slice, slice]]:
    """What tiles see along an axis, and what is kept of it."""
    starts = [0, *range(side - overlap, length - overlap, side - overlap)]
    cuts = [0, *(start + overlap // 2 for start in starts[1:]), length]
    seen = [slice(start, min(start + side, length)) for start in starts]
    return [(part, slice(*cuts[place : place + 2])) for place, part in enumerate(seen)]


class TiledPictures(WholePictures):
    """Pictures to predict, an item a tile: item i is one of picture ``owner[i]``, all of a picture one after the other.

    A picture that can't be opened is one item, which is not ``valid``.

    Args:
        images: The files.
        names: One name a picture.
        tile: Height and width of a tile.
        overlap: Rows and columns that neighbours have in common.
        mean: Mean of each channel, in units of the full range.
        std: Standard deviation of each channel, in units of the full range.
    """

    def __init__(
        self,
        images: ImageFiles,
        names: Sequence[str],
        tile: Size,
        overlap: int,
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__(images, None, names, None, mean, std)
        self._files = images
        laid = [self._tiles_of(position, tile, overlap) for position in range(len(names))]
        self._tiles = [part for tiles in laid for part in tiles]
        self.owner = np.repeat(np.arange(len(laid)), [len(tiles) for tiles in laid])

    def _tiles_of(self, position: int, tile: Size, overlap: int) -> Sequence[Tile | None]:
        try:
            return lay_tiles(self._files.size_of(position), tile, overlap)
        except DataError:
            return [None]

    def __len__(self) -> int:
        return len(self._tiles)

    def tile(self, index: int) -> Tile:
        """What an item is of a picture that can be opened."""
        tile = self._tiles[index]
        assert tile is not None
        return tile

    def __getitem__(self, index: int) -> dict[str, Any]:
        """``input``, uint8 ``(h, w, 3)``, its ``size``, ``[h, w]``, and ``valid``."""
        tile = self._tiles[index]
        try:
            pixels = None if tile is None else self._files.window(self.sample_of(index), tile.seen)
        except DataError:
            pixels = None
        if pixels is None:
            return self.blank()
        return {"input": pixels, "size": list(pixels.shape[:2]), "valid": True}


def checked_overlap(tile: Size | None, overlap: int | None) -> int:
    """The overlap of tiles, :data:`SHARE` of their shorter side if it is None; 0 without tiles.

    Raises:
        ValueError: If tiles have no size, or not twice their overlap, or there are none.
    """
    if tile is None and overlap is not None:
        raise ValueError(f"predict_overlap={overlap} is that of tiles: add predict_tile, such as [1024, 1024]")
    if tile is None:
        return 0
    if min(tile) < 1 or not 0 <= 2 * (overlap or 0) <= min(tile):
        raise ValueError(f"predict_tile={tile} must be positive, predict_overlap={overlap} 0 to half of its short side")
    return min(tile) // SHARE if overlap is None else overlap

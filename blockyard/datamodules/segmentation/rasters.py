"""GeoTIFF files of any number of bands, and masks that lie on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.moments import Moments
from blockyard.datamodules.segmentation.masks import IGNORE, Colour, Mask, MaskFiles
from blockyard.media.geotiff import Raster, Size, Window, describe, read_floats, read_void, read_whole_numbers
from blockyard.media.picture_files import UPRIGHT, Pixels
from blockyard.mistakes import DataError

Bands = NDArray[np.float32]
"""``(h, w, C)``."""
Places = NDArray[np.bool_]
TIFF = (".tif", ".tiff")
STRIP = 1 << 20
"""Pixels of a file that are read at once to measure it."""
PARTS, PART = 8, 64
"""So many parts of so many rows and columns tell how bright a picture is shown."""
SHOWN = (2, 98)
"""Per cent of a band's values that are shown as black at most, and as white at least."""


class Rasters(ImageFiles):
    """GeoTIFF files as float32 ``(H, W, C)``, each band normalised, 0 where it has no data; read when asked for.

    Args:
        paths: The files.
        bands: Which C of their bands, from 1.
        alone: Whether they must have these and no other.
        moments: What each band is normalised by.
    """

    def __init__(self, paths: Sequence[Path], bands: Sequence[int], alone: bool, moments: Moments) -> None:
        super().__init__(paths)
        self.bands, self.alone = tuple(bands), alone
        self.mean, self.std = (np.asarray(values, np.float32) for values in moments)
        self._void: tuple[int, Places] | None = None
        self._limits = lru_cache(1)(self._measure_limits)

    def read(self, index: int) -> tuple[Any, int]:
        """One file ``(H, W, C)``, normalised, and 1 for its orientation, of which GeoTIFF knows one.

        Raises:
            DataError: If it is missing, damaged, or has other bands.
        """
        values = self._read(index)
        self._void = index, np.asarray(np.isnan(values).all(-1))
        return self._normalised(values), UPRIGHT

    def size(self, index: int) -> None:
        """None: no file can be read smaller as a JPEG can."""

    def size_of(self, index: int) -> Size:
        """Height and width of a file, without reading its pixels.

        Raises:
            DataError: If it is missing, no TIFF, or has other bands.
        """
        return self.raster(index).size

    def window(self, index: int, window: Window) -> Any:
        """A part ``(h, w, C)`` of one file, normalised; nothing else of it is read.

        Raises:
            DataError: If it is missing, damaged, or has other bands.
        """
        return self._normalised(self._read(index, window))

    def void(self, index: int, window: Window | None = None) -> Places:
        """Where none of the bands of a file, or of a part of it, has data, ``(h, w)``.

        Raises:
            DataError: If it is missing or damaged.
        """
        if window is None and self._void is not None and self._void[0] == index:
            return self._void[1]
        return read_void(self.paths[index], self.bands, window)

    def raster(self, index: int) -> Raster:
        """What a file says of itself.

        Raises:
            DataError: If it is missing, no TIFF, or has other bands.
        """
        path, found = self.paths[index], describe(self.paths[index])
        if self.alone and found.bands != len(self.bands):
            said = f"{path}: {found.bands} bands, but the data have {len(self.bands)}"
            raise DataError(f'{said}; data.bands says which are taken, such as --data.bands "[1,2,3]"')
        if found.bands < max(self.bands):
            raise DataError(f"{path}: {found.bands} bands, so there is no band {max(self.bands)} as data.bands asks")
        return found

    def visible(self, index: int, values: Bands) -> Pixels:
        """What people are shown of a file or a part of it: its first three bands as colours, or the first as grey.

        Each is stretched in the same way all over a file, so that about 2 % of its values are black and 2 % white.

        Args:
            index: The file.
            values: Normalised ``(h, w, C)``.
        """
        low, high = self._limits(index)
        shown = (values[..., _three(values.shape[-1])] - low) / (high - low)
        return np.asarray((255 * shown.clip(0, 1)).round(), np.uint8)

    def blocks(self, index: int) -> Iterator[Bands]:
        """The values of a file as they are, in blocks ``(n, C)``, NaN where a band has no data.

        Raises:
            DataError: If it is missing, damaged, or has other bands.
        """
        height, width = self.raster(index).size
        step = max(1, STRIP // width)
        for top in range(0, height, step):
            rows = slice(top, min(top + step, height))
            yield self._read(index, (rows, slice(0, width))).reshape(-1, len(self.bands))

    def _measure_limits(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        down, across = (_spread(length) for length in self.raster(index).size)
        parts = [self._read(index, window).reshape(-1, len(self.bands)) for window in product(down, across)]
        values = ((np.concatenate(parts) - self.mean) / self.std)[:, _three(len(self.bands))]
        known = [band[~np.isnan(band)] for band in values.T]
        found = [np.percentile(band, SHOWN) if band.size else (0, 1) for band in known]
        low, high = np.asarray(found, np.float32).T
        return low, np.maximum(high, low + np.finfo(np.float32).eps)

    def _read(self, index: int, window: Window | None = None) -> Bands:
        self.raster(index)
        return read_floats(self.paths[index], self.bands, window)

    def _normalised(self, values: Bands) -> Bands:
        values -= self.mean
        values /= self.std
        return np.nan_to_num(values, copy=False)


class RasterMasks(MaskFiles):
    """Masks of :class:`Rasters`: 255 also where a picture has no data; those that are TIFF may say where they lie.

    Args:
        rasters: The pictures, one a mask.
        paths: The files.
        labels: From the values that may occur in the files to labels.
        hint: What to say after a complaint of a value that may not occur, or of colours.
        colours: From the colours of pictures without a palette to labels; None refuses such pictures.
    """

    def __init__(
        self,
        rasters: Rasters,
        paths: Sequence[Path],
        labels: Mapping[int, int],
        hint: str = "",
        colours: Mapping[Colour, int] | None = None,
    ) -> None:
        super().__init__(paths, labels, hint, colours)
        self.rasters = rasters

    def read(self, index: int) -> tuple[Mask, int]:
        """One mask, and the orientation tag by which it was turned, 1 for none.

        Raises:
            DataError: If it is missing or damaged, holds a value that may not occur, or does not lie on its picture.
        """
        path, picture = self.paths[index], self.rasters.raster(index)
        own = describe(path) if path.suffix.lower() in TIFF else None
        if own is not None and own.size == picture.size and (apart := own.apart(picture)):
            raise DataError(f"{path}: {apart}; masks must lie where their pictures do")
        coloured = self.colours is not None and own is not None and own.bands > 1
        mask, tag = super().read(index) if own is None or coloured else self._read_numbers(path)
        if mask.shape != picture.size:
            sizes = [f"{width}×{height}" for height, width in (mask.shape, picture.size)]
            raise DataError(f"{path}: {sizes[0]} pixels, but its picture has {sizes[1]}")
        mask[self.rasters.void(index)] = IGNORE
        return mask, tag

    def _read_numbers(self, path: Path) -> tuple[Mask, int]:
        values, void = read_whole_numbers(path)
        values[void] = self.allowed[0]
        mask = self.labels_of(path, values)
        mask[void] = IGNORE
        return mask, UPRIGHT


def _spread(length: int) -> list[slice]:
    """Parts of an axis at even distances, or all of it."""
    if length <= PARTS * PART:
        return [slice(0, length)]
    return [slice(start, start + PART) for start in np.linspace(0, length - PART, PARTS).astype(int).tolist()]


def _three(count: int) -> list[int]:
    return [0, 1, 2] if count >= 3 else [0, 0, 0]

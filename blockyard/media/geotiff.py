"""TIFF files through rasterio, which reads them window by window."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.mistakes import DataError

Window = tuple[slice, slice]
"""Rows and columns."""
Size = tuple[int, int]
"""Height and width."""
NEAR = 0.01
"""Pixels by which two files of one place may lie apart: their numbers are rounded."""


@dataclass(frozen=True)
class Raster:
    """What a file says of itself.

    Attributes:
        bands: How many it has.
        size: Height and width.
        crs: Its coordinate reference system, as rasterio's; None if it says none.
        transform: From columns and rows to coordinates, as rasterio's; the identity if it says none.
    """

    bands: int
    size: Size
    crs: Any
    transform: Any

    def apart(self, other: Raster) -> str | None:
        """How it lies elsewhere than another one of its size, in words; None if it does not, or does not say."""
        if self.crs is not None and self.crs != other.crs:
            return f"its coordinates are {_named(self.crs)}, those of its picture {_named(other.crs)}"
        if self.transform.is_identity:
            return None
        if other.transform.determinant == 0:
            return "its picture does not say where it lies"
        corners = np.array([[0, self.size[1], 0], [0, 0, self.size[0]], [1, 1, 1]])
        own, others = (np.reshape(one, (3, 3)) for one in (self.transform, other.transform))
        most = np.abs(np.linalg.solve(others, own @ corners) - corners).max()
        return None if most <= NEAR else f"its transform puts it up to {most:.3g} pixels beside its picture"


def describe(path: Path) -> Raster:
    """What a file says of itself, without reading its pixels.

    Raises:
        DataError: If it is missing or no TIFF.
        ImportError: If rasterio is not installed.
    """
    with opened(path) as file:
        return Raster(file.count, (file.height, file.width), file.crs, file.transform)


def read_bands(path: Path, window: Window) -> NDArray[Any]:
    """Values ``(C, h, w)`` of a part of a file, of the type that it has.

    Args:
        path: The file.
        window: Rows and columns.

    Raises:
        DataError: If it is missing or damaged.
        ImportError: If rasterio is not installed.
    """
    with opened(path) as file:
        values: NDArray[Any] = file.read(**as_window(window))
        return values


def read_floats(path: Path, bands: Sequence[int], window: Window | None = None) -> NDArray[np.float32]:
    """Values ``(h, w, C)`` of a file or a part of it, NaN where a band has no data.

    That is where the file's ``nodata`` value or mask says so, and where a value is not finite. A band that the file
    takes for its transparency is one like any other if it is asked for, and else says where there are data.

    Args:
        path: The file.
        bands: Which C, from 1.
        window: Rows and columns; None reads all.

    Raises:
        DataError: If it is missing or damaged.
        ImportError: If rasterio is not installed.
    """
    with opened(path) as file:
        part = {} if window is None else as_window(window)
        with np.errstate(over="ignore"):
            values = np.stack(file.read(list(bands), **part), -1).astype(np.float32)
        for place, band in enumerate(bands):
            if _may_lack(file, band, bands):
                values[~_has_data(file, band, **part), place] = np.nan
    values[~np.isfinite(values)] = np.nan
    return values


def read_void(path: Path, bands: Sequence[int], window: Window | None = None) -> NDArray[np.bool_]:
    """Where none of some bands has data, ``(h, w)``; nothing is read of a file in which all of them have.

    Args:
        path: The file.
        bands: Which, from 1.
        window: Rows and columns; None means all.

    Raises:
        DataError: If it is missing or damaged.
        ImportError: If rasterio is not installed.
    """
    with opened(path) as file:
        rows, columns = window or (slice(0, file.height), slice(0, file.width))
        for band in bands:
            if not _may_lack(file, band, bands) and not np.issubdtype(file.dtypes[band - 1], np.floating):
                return np.zeros((rows.stop - rows.start, columns.stop - columns.start), bool)
    return np.asarray(np.isnan(read_floats(path, bands, window)).all(-1))


def read_whole_numbers(path: Path) -> tuple[NDArray[np.integer[Any]], NDArray[np.bool_]]:
    """The numbers ``(H, W)`` of a file with one band, and where it has no data, where they are 0.

    Raises:
        DataError: If it is missing or damaged, has several bands, or numbers that are not whole.
        ImportError: If rasterio is not installed.
    """
    with opened(path) as file:
        if file.count != 1:
            raise DataError(f"{path}: a mask must hold one class index a pixel, but this one has {file.count} bands")
        values, void = file.read(1), ~_has_data(file, 1)
    if values.dtype.kind == "f":
        void |= np.isnan(values)
        values = np.where(void, 0, values)
        if not (np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**31)).all():
            raise DataError(f"{path}: a mask must hold one class index a pixel, but this one has fractions")
        return values.astype(np.int64), void
    return np.where(void, values.dtype.type(0), values), void


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
            file = rasterio.open(path, driver="GTiff")  # other formats may name other files, and addresses
        with file:
            if any(kind.startswith("complex") for kind in file.dtypes):
                raise DataError(f"{path}: complex numbers; save their parts as bands")
            yield file
    except RasterioError as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise DataError(f"{path}: damaged or not a picture ({reason}); replace or remove it") from error


def as_window(window: Window) -> dict[str, Any]:
    """The argument of rasterio's methods that says which rows and columns are meant."""
    from rasterio.windows import Window as Part

    return {"window": Part.from_slices(*window)}


def _may_lack(file: Any, band: int, bands: Sequence[int]) -> bool:
    """Whether a file says of a band where it has data, by something else than one of the bands that are asked for."""
    from rasterio.enums import ColorInterp, MaskFlags

    flags = file.mask_flag_enums[band - 1]
    if MaskFlags.alpha in flags:
        return not any(file.colorinterp[other - 1] == ColorInterp.alpha for other in bands)
    return MaskFlags.all_valid not in flags


def _has_data(file: Any, band: int, **part: Any) -> NDArray[np.bool_]:
    """Where a band has data, ``(h, w)``."""
    from rasterio.errors import NodataShadowWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NodataShadowWarning)
        return np.asarray(file.read_masks(band, **part) != 0)


def _named(crs: Any) -> str:
    return "unknown" if crs is None else str(crs.to_string())[:60]

"""A GeoTIFF written a few rows at a time: pictures that are never whole in memory."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from blockyard.media.geotiff import Raster, as_window


class GeoTIFFRows:
    """A GeoTIFF that grows from the top, compressed; a context manager.

    Args:
        path: The file, which must not be there.
        like: Whose size, coordinates and transform it has.
        dtype: Of the values.
        channels: Bands.
        palette: Colours ``(n, 3)`` of up to 256 indices; None for values that are brightness.
        nodata: The value of pixels without data; None if all have some.
    """

    def __init__(
        self,
        path: Path,
        like: Raster,
        dtype: Any = np.uint8,
        channels: int = 1,
        palette: NDArray[np.uint8] | None = None,
        nodata: float | None = None,
    ) -> None:
        self._path, self._row = path, 0
        place = {"crs": like.crs, "transform": like.transform} if not like.transform.is_identity else {"crs": like.crs}
        form = {"driver": "GTiff", "compress": "deflate", "bigtiff": "if_safer", "height": like.size[0]}
        values = {"width": like.size[1], "count": channels, "dtype": np.dtype(dtype).name, "nodata": nodata}
        with self._errors():
            import rasterio

            self._file = rasterio.open(path, "w", **form, **values, **place)
            if palette is not None:
                self._file.write_colormap(1, {value: (*colour, 255) for value, colour in enumerate(palette.tolist())})

    def __enter__(self) -> GeoTIFFRows:
        return self

    def write(self, rows: NDArray[Any]) -> None:
        """Add rows ``(h, W)`` or ``(h, W, C)`` below those that are there."""
        below = self._row + len(rows)
        bands = rows[None] if rows.ndim == 2 else np.moveaxis(rows, -1, 0)
        with self._errors():
            self._file.write(bands, **as_window((slice(self._row, below), slice(0, rows.shape[1]))))
        self._row = below

    def __exit__(self, *told: object) -> None:
        with self._errors():
            self._file.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                yield
        except RasterioError as error:
            reason = " ".join(str(error.__cause__ or error).split())
            raise OSError(errno.EIO, reason, str(self._path)) from error

"""A GeoTIFF that is written row by row is one like any other."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.crs import CRS  # noqa: E402
from rasterio.transform import Affine, from_origin  # noqa: E402

from blockyard.media.geotiff import Raster  # noqa: E402
from blockyard.media.geotiff_rows import GeoTIFFRows  # noqa: E402

RANDOM = np.random.default_rng(0)
LIKE = Raster(4, (23, 11), CRS.from_epsg(32633), from_origin(500_000, 5_400_000, 10, 10))


def written(path, values, like=LIKE, **options):
    channels = values.shape[2] if values.ndim == 3 else 1
    with GeoTIFFRows(path, like, dtype=values.dtype, channels=channels, **options) as rows:
        for part in np.split(values, [3, 4, 17]):
            rows.write(part)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return rasterio.open(path)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32", "colours"])
def test_holds_what_was_written_where_it_was_told(tmp_path, kind):
    values = RANDOM.integers(0, 255, (23, 11, 3) if kind == "colours" else (23, 11), np.uint8)
    values = values if kind == "colours" else values.astype(kind)
    with written(tmp_path / "a.tif", values, nodata=7) as file:
        assert np.array_equal(file.read(), values.transpose(2, 0, 1) if values.ndim == 3 else values[None])
        assert (file.crs, file.transform, file.nodata) == (LIKE.crs, LIKE.transform, 7)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_colours_of_values(tmp_path):
    palette = RANDOM.integers(0, 256, (256, 3), np.uint8)
    with written(tmp_path / "a.tif", np.zeros((23, 11), np.uint8), palette=palette) as file:
        assert file.colormap(1)[9] == (*palette[9].tolist(), 255)


def test_what_lies_nowhere_is_written_so(tmp_path):
    nowhere = Raster(1, LIKE.size, None, Affine.identity())
    with written(tmp_path / "a.tif", np.ones((23, 11), np.uint8), nowhere) as file:
        assert file.crs is None
        assert file.transform.is_identity


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(OSError, match="no such folder"):
        GeoTIFFRows(tmp_path / "no such folder" / "a.tif", LIKE)

"""What a GeoTIFF says of its values, of where it has none, and of where it lies."""

from __future__ import annotations

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from rasterio.enums import ColorInterp  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from blockyard.media.geotiff import describe, read_floats, read_void, read_whole_numbers  # noqa: E402
from blockyard.mistakes import DataError  # noqa: E402

RANDOM = np.random.default_rng(0)
PLACE = from_origin(500_000, 5_400_000, 10, 10)
ALL = (1, 2, 3, 4)


def saved(path, values, crs="EPSG:32633", transform=PLACE, alpha=None, **options):
    """Write bands ``(C, H, W)``."""
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs=crs, transform=transform, **shape, **options) as file:
        if alpha is not None:
            kinds = [ColorInterp.alpha if band == alpha else ColorInterp.undefined for band in range(1, count + 1)]
            file.colorinterp = kinds
        file.write(values)
    return path


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 0), ("uint16", 0), ("int16", -32768), ("float32", -9999)])
def test_values_are_those_of_the_file_and_nan_where_it_has_none(tmp_path, dtype, nodata):
    values = RANDOM.integers(1, 100, (4, 9, 7)).astype(dtype)
    values[:, :2, :3], values[1, 5, 5] = nodata, nodata
    path = saved(tmp_path / "a.tif", values, nodata=nodata)
    found = read_floats(path, ALL)
    expected = np.where(values == nodata, np.nan, values).transpose(1, 2, 0)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected, equal_nan=True)
    assert np.array_equal(read_floats(path, (3, 1)), expected[..., [2, 0]], equal_nan=True)
    window = (slice(1, 6), slice(2, 7))
    assert np.array_equal(read_floats(path, ALL, window), expected[window], equal_nan=True)
    assert np.array_equal(read_void(path, ALL, window), np.isnan(expected[window]).all(-1))
    assert read_void(path, ALL).sum() == 6, "where one band alone has no data, there are some"


def test_what_is_not_finite_is_no_data(tmp_path):
    values = np.ones((2, 3, 4), np.float32)
    values[:, 0, 0], values[0, 1, 1], values[1, 1, 1] = np.nan, np.inf, -np.inf
    path = saved(tmp_path / "a.tif", values)
    assert np.argwhere(read_void(path, (1, 2))).tolist() == [[0, 0], [1, 1]]


def test_a_band_that_is_taken_for_transparency_is_one_like_any_other_if_it_is_asked_for(tmp_path):
    """GDAL marks the fourth of four bands of bytes so, near infrared for instance."""
    values = RANDOM.integers(1, 255, (4, 5, 6), np.uint8)
    values[3, :2] = 0
    path = saved(tmp_path / "a.tif", values, alpha=4)
    assert np.array_equal(read_floats(path, ALL), values.transpose(1, 2, 0))
    assert not read_void(path, ALL).any()
    assert np.isnan(read_floats(path, (1, 2))[:2]).all()
    assert np.array_equal(read_void(path, (1, 2)), values[3] == 0)


def test_where_all_bands_have_data_nothing_is_read(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.tif", RANDOM.integers(0, 255, (2, 5, 6), np.uint16))
    monkeypatch.setattr("blockyard.media.geotiff.read_floats", None)  # would fail
    assert read_void(path, (1, 2), (slice(1, 3), slice(0, 4))).tolist() == [[False] * 4] * 2


def test_numbers_of_masks_are_whole(tmp_path, one_line):
    numbers = RANDOM.integers(0, 5, (1, 4, 6), np.uint8)
    for dtype in ("uint8", "int16", "int32", "float32"):
        values, void = read_whole_numbers(saved(tmp_path / "a.tif", numbers.astype(dtype), nodata=4))
        assert np.issubdtype(values.dtype, np.integer)
        assert np.array_equal(void, numbers[0] == 4)
        assert np.array_equal(values, np.where(void, 0, numbers[0]))
    with pytest.raises(DataError) as error:
        read_whole_numbers(saved(tmp_path / "a.tif", numbers + np.float32(0.5)))
    one_line(error, tmp_path / "a.tif", "fractions")
    with pytest.raises(DataError) as error:
        read_whole_numbers(saved(tmp_path / "a.tif", numbers.repeat(3, 0)))
    one_line(error, tmp_path / "a.tif", "3 bands")


def test_what_does_not_say_where_it_lies_may_lie_anywhere(tmp_path):
    values = np.zeros((1, 20, 30), np.uint8)
    picture = describe(saved(tmp_path / "a.tif", values))
    assert (picture.bands, picture.size, picture.transform) == (1, (20, 30), PLACE)

    def apart(**options):
        return describe(saved(tmp_path / "b.tif", values, **options)).apart(picture)

    assert apart() is None
    assert apart(crs=None, transform=None) is None
    assert apart(transform=from_origin(500_000.05, 5_400_000, 10, 10)) is None, "rounded"
    assert "up to 0.5 pixels" in apart(transform=from_origin(500_005, 5_400_000, 10, 10))
    assert "EPSG:32634" in apart(crs="EPSG:32634")


def test_a_file_that_would_name_other_files_is_refused(tmp_path, one_line):
    source = saved(tmp_path / "a.tif", np.zeros((1, 4, 4), np.uint8))
    xml = "<VRTDataset rasterXSize='4' rasterYSize='4'><VRTRasterBand dataType='Byte' band='1'><SimpleSource>"
    (tmp_path / "b.tif").write_text(
        f"{xml}<SourceFilename>{source}</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    with pytest.raises(DataError) as error:
        describe(tmp_path / "b.tif")
    one_line(error, tmp_path / "b.tif", "damaged or not a picture")

"""A window of a picture holds the pixels that the whole has there."""

from __future__ import annotations

import builtins

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.images import ImageFiles
from blockyard.media.picture_windows import picture_size, read_window

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (30, 44, 3), np.uint8)
WINDOW = (slice(7, 21), slice(30, 44))
PLAIN = {
    "raw": (COLOURS, {}),
    "lzw": (COLOURS, {"compression": "tiff_lzw"}),
    "deflate, grey": (COLOURS[..., 0], {"compression": "tiff_adobe_deflate"}),
}
SIDEWAYS = Image.Exif()
SIDEWAYS[0x0112] = 6
OTHERS = {
    "a.png": (COLOURS, {}),
    "jpeg.tif": (COLOURS, {"compression": "jpeg"}),
    "16 bits.tif": (RANDOM.integers(0, 65536, (30, 44), np.uint16), {}),
    "palette.tif": (COLOURS[..., 0], {"palette": True}),
    "turned.jpg": (COLOURS, {"exif": SIDEWAYS}),
    "turned.tif": (COLOURS, {"tiffinfo": {0x0112: 6}}),
    "transparent.tif": (np.concatenate([COLOURS, COLOURS[..., :1]], -1), {}),
}


def saved(path, pixels, palette=False, **options):
    image = Image.fromarray(pixels)
    (image.quantize(16) if palette else image).save(path, **options)
    return path


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_tiff_is_read_there_alone(tmp_path, monkeypatch, kind):
    pytest.importorskip("rasterio")
    pixels, options = PLAIN[kind]
    path = saved(tmp_path / "a.tif", pixels, **options)
    monkeypatch.setattr("blockyard.datamodules.images.decode", None)  # would fail
    part = ImageFiles([path]).window(0, WINDOW)
    assert np.array_equal(
        part, np.broadcast_to(pixels[..., None], (30, 44, 3))[WINDOW] if pixels.ndim == 2 else pixels[WINDOW]
    )
    assert picture_size(path) == (30, 44)


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_file_is_decoded_once(tmp_path, name):
    pixels, options = OTHERS[name]
    files = ImageFiles([saved(tmp_path / name, pixels, **options)])
    whole = files[0]
    assert read_window(files.paths[0], WINDOW) is None
    assert files.size_of(0) == whole.shape[:2]
    assert np.array_equal(files.window(0, WINDOW), whole[WINDOW])
    files.paths[0].unlink()
    assert np.array_equal(files.window(0, (slice(3), slice(4))), whole[:3, :4])


def test_without_rasterio_the_pixels_are_the_same(tmp_path, monkeypatch):
    path, own = saved(tmp_path / "a.tif", COLOURS), builtins.__import__

    def without(name, *rest):
        if name.startswith("rasterio"):
            raise ImportError(name)
        return own(name, *rest)

    monkeypatch.setattr("builtins.__import__", without)
    assert read_window(path, WINDOW) is None
    assert np.array_equal(ImageFiles([path]).window(0, WINDOW), COLOURS[WINDOW])


def test_what_was_cut_off_is_named(tmp_path):
    pytest.importorskip("rasterio")
    path = saved(tmp_path / "a.tif", COLOURS)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"a\.tif: damaged"):
        ImageFiles([path]).window(0, (slice(25, 30), slice(44)))
    with pytest.raises(DataError, match=r"b\.tif: damaged or not a picture"):
        picture_size(tmp_path / "b.tif")

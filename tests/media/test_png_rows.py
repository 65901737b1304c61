"""A PNG that grew row by row is the picture that it was made of, to any reader."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from blockyard.media import png_rows
from blockyard.media.picture_checks import damage
from blockyard.media.png_rows import PNGRows

RANDOM = np.random.default_rng(0)
KINDS = [(np.uint8, 1, "L"), (np.uint16, 1, "I;16"), (np.uint8, 3, "RGB")]


@pytest.mark.parametrize(("dtype", "channels", "mode"), KINDS)
def test_rows_in_any_parts(tmp_path, monkeypatch, dtype, channels, mode):
    monkeypatch.setattr(png_rows, "AT_ONCE", 100)  # several chunks
    shape = (23, 17, 3) if channels == 3 else (23, 17)
    pixels = RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
    with (tmp_path / "a.png").open("wb") as file:
        rows = PNGRows(file, (23, 17), dtype, channels)
        for start, stop in ((0, 1), (1, 9), (9, 23)):
            rows.write(pixels[start:stop])
        rows.close()
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), pixels)
    assert damage(tmp_path / "a.png") is None  # every chunk has its check sum, and nothing is missing


def test_a_palette_is_that_of_the_indices():
    palette = RANDOM.integers(0, 256, (256, 3), np.uint8)
    indices = RANDOM.integers(0, 256, (5, 7), np.uint8)
    file = io.BytesIO()
    rows = PNGRows(file, (5, 7), palette=palette)
    rows.write(indices)
    rows.close()
    with Image.open(file) as image:
        assert np.array_equal(np.asarray(image), indices)
        assert np.array_equal(np.asarray(image.convert("RGB")), palette[indices])

"""A mask predicted tile by tile is that of the whole picture, where the network sees no further than it is given."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import ImageMaskFolder
from blockyard.tasks.segmentation.mask_writer import MaskWriter

SPEC = importlib.util.spec_from_file_location("few_pictures", Path(__file__).parents[1] / "few_pictures.py")
few_pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few_pictures)
SIZES = [(72, 92), (32, 36), (64, 128)]
"""Multiples of the stride, 4: any other map is resized by a factor of its own."""
SIGHT = 16
"""How far TinyMaps and its head see: two strided convolutions of 3 (1 + 2), two at stride 4, and resizing (12)."""


@pytest.fixture
def folder(tmp_path):
    tmp_path = tmp_path / "data"
    tmp_path.mkdir()
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\n")
    for number, size in enumerate(SIZES):
        coarse = np.random.default_rng(number).integers(0, 256, (20, 20, 3), np.uint8)
        picture = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.NEAREST)
        picture.save(tmp_path / f"{number}.{'tif' if number else 'png'}")
    return tmp_path


def predicted(folder, where, batch_size=4, **tiles):
    module = few_pictures.task(overlays=True, confidence=True).double()
    writer = MaskWriter(folder.with_name(where))
    with_writer = few_pictures.trainer(callbacks=[writer])
    data = ImageMaskFolder(str(folder), predict_folder=str(folder), batch_size=batch_size, num_workers=0, **tiles)
    with_writer.predict(module, data, return_predictions=False)
    files = [path for path in sorted(folder.with_name(where).rglob("*")) if path.is_file()]
    return {path.relative_to(folder.with_name(where)).as_posix(): np.asarray(Image.open(path)) for path in files}


def test_tiles_agree_with_the_whole(folder):
    whole = predicted(folder, "whole")
    assert len(whole) == 9
    assert len(np.unique(whole["masks/0.png"])) > 1
    tiled = predicted(folder, "tiled", predict_tile=(64, 72), predict_overlap=2 * SIGHT)
    assert tiled.keys() == whole.keys()
    for name, picture in whole.items():
        assert np.array_equal(tiled[name], picture), name


def test_what_a_small_overlap_changes_lies_along_the_seams(folder):
    """Without an overlap labels differ only where the network would see beyond its tile."""
    whole, tiled = predicted(folder, "whole"), predicted(folder, "tiled", predict_tile=(32, 32), predict_overlap=0)
    differs = whole["masks/0.png"] != tiled["masks/0.png"]
    near = np.zeros(SIZES[0], bool)
    for axis in (0, 1):
        for seam in range(32, SIZES[0][axis], 32):
            np.moveaxis(near, axis, 0)[seam - SIGHT : seam + SIGHT] = True
    assert differs.any()
    assert not differs[~near].any()


def test_a_picture_with_a_tile_that_cannot_be_read_leaves_no_mask(folder, monkeypatch):
    pytest.importorskip("rasterio")
    content = (folder / "2.tif").read_bytes()
    (folder / "2.tif").write_bytes(content[: len(content) * 2 // 3])
    with pytest.warns(UserWarning, match=r"1 of 3 could not be read: 2\.tif"):
        found = predicted(folder, "tiled", batch_size=1, predict_tile=(32, 32), predict_overlap=8)
    assert sorted(found) == [
        f"{kind}/{number}.png" for kind in ("confidence", "masks", "overlays") for number in (0, 1)
    ]


def test_what_stops_a_prediction_leaves_no_part_of_a_mask(folder, monkeypatch):
    own, calls = few_pictures.SemanticSegmentation.predict_step, []

    def fails_later(*given):
        calls.append(given)
        if len(calls) > 3:
            raise FloatingPointError("diverged")
        return own(*given)

    monkeypatch.setattr(few_pictures.SemanticSegmentation, "predict_step", fails_later)
    with pytest.raises(FloatingPointError):
        predicted(folder, "tiled", batch_size=1, predict_tile=(32, 32), predict_overlap=8)
    assert not [path for path in folder.with_name("tiled").rglob("*") if path.is_file()]

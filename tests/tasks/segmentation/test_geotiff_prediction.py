"""Of a picture from above the mask lies where the picture does, whole or in tiles."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import SGD

rasterio = pytest.importorskip("rasterio")

from rasterio.transform import from_origin  # noqa: E402

from blockyard.datamodules import GeoTIFFFolder  # noqa: E402
from blockyard.tasks import SemanticSegmentation  # noqa: E402
from blockyard.tasks.segmentation.cases import SegmentationCases  # noqa: E402
from blockyard.tasks.segmentation.mask_writer import MaskWriter  # noqa: E402

SPEC = importlib.util.spec_from_file_location("few_pictures", Path(__file__).parents[1] / "few_pictures.py")
few_pictures = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(few_pictures)
PLACE = from_origin(500_000, 5_400_000, 10, 10)
SIZE = (72, 92)
CLASSES = "soil #a08050\ncrop #20a020\nwater #2050d0\n"


@pytest.fixture
def root(tmp_path):
    random, root = np.random.default_rng(0), tmp_path / "data"
    root.mkdir()
    (root / "classes.txt").write_text(CLASSES)
    for name in ("train/0", "train/1", "val/0", "test/0"):
        values = np.kron(random.integers(1, 4_000, (4, 9, 23)), np.ones((8, 4))).astype(np.uint16)
        values[:, :20, :30] = 0
        for kind, bands in (("images", values), ("masks", values[3:] // 1_334)):
            (root / kind / name).parent.mkdir(parents=True, exist_ok=True)
            shape = dict(zip(("count", "height", "width"), bands.shape, strict=True)) | {"dtype": "uint16"}
            place = {"crs": "EPSG:32633", "transform": PLACE, "nodata": 0 if kind == "images" else None}
            with rasterio.open(root / kind / f"{name}.tif", "w", driver="GTiff", **shape, **place) as file:
                file.write(bands)
    return root


@pytest.fixture
def task():
    torch.manual_seed(0)
    plain = {"backbone": few_pictures.TinyMaps, "decode_head": few_pictures.HEAD, "optimizer": partial(SGD, lr=0.1)}
    return SemanticSegmentation(3, (4, 16, 16), overlays=True, confidence=True, **plain)


def predicted(task, root, where, **options):
    data = GeoTIFFFolder(
        str(root), predict_folder=str(root / "images/test"), batch_size=2, size=(32, 32), num_workers=0, **options
    )
    trainer = few_pictures.trainer(callbacks=[MaskWriter(where), SegmentationCases(where)], max_steps=1)
    if not options:
        trainer.fit(task, data)
        trainer.test(task, data, verbose=False)
        assert (where / "cases.png").is_file()
        with torch.no_grad():
            task.network.decode_head.conv_seg.weight.mul_(100)
    task.double()
    trainer.predict(task, data, return_predictions=False)
    return {kind: rasterio.open(where / kind / "0.tif") for kind in ("masks", "confidence", "overlays")}


def test_masks_lie_where_their_pictures_do(task, root, tmp_path):
    whole = predicted(task, root, tmp_path / "whole")
    tiled = predicted(task, root, tmp_path / "tiled", predict_tile=(64, 72), predict_overlap=32)
    for kind, nodata, dtype, count in (("masks", 255, "uint8", 1), ("confidence", None, "float32", 1)):
        for file in (whole[kind], tiled[kind]):
            assert (file.crs.to_epsg(), file.transform, file.shape) == (32633, PLACE, SIZE)
            assert (file.dtypes, file.count) == ((dtype,), count)
            assert file.nodata == nodata if nodata else np.isnan(file.nodata)
        assert np.array_equal(whole[kind].read(), tiled[kind].read(), equal_nan=True), "as far as the network sees"
    assert whole["masks"].colormap(1)[2] == (32, 80, 208, 255)
    mask, sure = whole["masks"].read(1), whole["confidence"].read(1)
    void = np.zeros(SIZE, bool)
    void[:20, :30] = True
    assert np.array_equal(mask == 255, void)
    assert np.array_equal(np.isnan(sure), void)
    assert (sure[~void] >= 1 / 3 - 1 / 255).all()
    assert len(np.unique(mask)) > 2
    assert whole["overlays"].count == 3
    assert (whole["overlays"].read()[:, :20, :30] == tiled["overlays"].read()[:, :20, :30]).all()

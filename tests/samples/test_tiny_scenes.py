import json

import numpy as np
import pytest
from PIL import Image

from blockyard.samples.tiny_scenes import draw, write_tiny_cityscapes, write_tiny_voc

WRITERS = [write_tiny_voc, write_tiny_cityscapes]


@pytest.mark.parametrize("write", WRITERS)
def test_the_same_seed_gives_the_same_files(write, tmp_path):
    first, again, other = (write(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("b", 0), ("c", 1)))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert all((first / file).read_bytes() == (again / file).read_bytes() for file in files)
    assert any((first / file).read_bytes() != (other / file).read_bytes() for file in files)


def test_pictures_and_masks_are_of_one_size():
    for number in range(5):
        picture, mask = draw(number, (20, 30), range(5), border=255)
        assert picture.shape == (20, 30, 3)
        assert mask.shape == (20, 30)
        assert set(np.unique(mask)) <= {*range(5), 255}


def test_voc_has_its_quirks(tmp_path):
    voc = write_tiny_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    masks = [Image.open(path) for path in sorted((voc / "SegmentationClass").iterdir())]
    assert {mask.mode for mask in masks} == {"P"}
    assert all(255 in np.asarray(mask) for mask in masks)
    assert len({mask.size for mask in masks}) == 2
    assert "CMYK" in {Image.open(path).mode for path in (voc / "JPEGImages").iterdir()}


def test_cityscapes_has_its_quirks(tmp_path):
    truth = write_tiny_cityscapes(tmp_path) / "gtFine"
    values = {v for path in truth.rglob("*_labelIds.png") for v in np.unique(np.asarray(Image.open(path))).tolist()}
    assert {0, 7, 33} <= values
    assert not list(truth.rglob("*labelTrainIds*"))
    plates = [json.loads(path.read_text())["objects"][0]["label"] for path in truth.rglob("*.json")]
    assert set(plates) == {"license plate"}

"""Pictures with orientation tags and their masks: each pixel keeps its label, or the tag is named."""

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.images import ImageFiles
from blockyard.datamodules.segmentation.masked_pictures import WholePictures
from blockyard.datamodules.segmentation.masks import MaskFiles, class_labels
from blockyard.media.picture_files import SIDEWAYS, TURNED, turn, turn_back

SHOWN = np.arange(6 * 8, dtype=np.uint8).reshape(6, 8)
SQUARE = np.arange(6 * 6, dtype=np.uint8).reshape(6, 6)


def tagged(tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    return exif


@pytest.fixture
def pair(tmp_path):
    """Save a grey picture and a mask, with their tags, and read them together."""

    def save_and_read(picture, tag, mask, own=1, suffix="png"):
        Image.fromarray(picture).save(tmp_path / "a.png", exif=tagged(tag))
        Image.fromarray(mask).save(tmp_path / f"mask.{suffix}", exif=tagged(own))
        masks = MaskFiles([tmp_path / f"mask.{suffix}"], class_labels(48))
        split = WholePictures(ImageFiles([tmp_path / "a.png"]), masks, ["a"], None, (0.5,) * 3, (0.5,) * 3)
        image, read = split.read(0)
        return image[..., 0], read

    return save_and_read


@pytest.mark.parametrize("tag", SIDEWAYS)
def test_a_mask_drawn_over_the_picture_as_shown(pair, tag):
    image, mask = pair(turn_back(SHOWN, tag), tag, SHOWN)
    assert np.array_equal(image, SHOWN)
    assert np.array_equal(mask, SHOWN)


@pytest.mark.parametrize("tag", SIDEWAYS)
def test_a_mask_drawn_over_the_picture_as_stored(pair, tag):
    image, mask = pair(SHOWN, tag, SHOWN)
    assert np.array_equal(image, turn(SHOWN, tag))
    assert np.array_equal(mask, image)


@pytest.mark.parametrize("tag", TURNED)
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_mask_with_the_same_tag(pair, tag, suffix):
    image, mask = pair(SHOWN, tag, SHOWN, tag, suffix)
    assert np.array_equal(image, turn(SHOWN, tag))
    assert np.array_equal(mask, image)


@pytest.mark.parametrize(("values", "tag"), [(SHOWN, 2), (SHOWN, 3), (SHOWN, 4), *((SQUARE, tag) for tag in TURNED)])
def test_where_sizes_do_not_tell_the_tag_is_named(pair, one_line, values, tag):
    with pytest.raises(DataError) as error:
        pair(values, tag, values)
    one_line(error, "mask.png", f"orientation tag 1, but {tag} of its picture", "nothing says how they lie")


def test_other_tags_and_sizes_are_named(pair, one_line):
    with pytest.raises(DataError) as error:
        pair(SHOWN, 1, SHOWN, 3)
    one_line(error, "orientation tag 3, but 1 of its picture")
    with pytest.raises(DataError) as error:
        pair(SHOWN, 6, SHOWN[:, :5])
    one_line(error, "5×6 pixels, but its picture has 6×8, turned upright by its orientation tag 6")

"""Masks that leave nothing to learn are refused before training, and absent classes are said."""

import warnings

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.image_mask_folder import ImageMaskFolder
from blockyard.datamodules.segmentation.masks import MaskFiles, class_labels
from blockyard.datamodules.segmentation.survey import survey

SCENE = np.zeros((16, 24), np.uint8)
SCENE[4:10, 5:15] = 1
VOID = np.full_like(SCENE, 255)


@pytest.fixture
def folder(tmp_path):
    """Write masks of two classes, changed where asked for, and read them."""

    def write(change=lambda mask: mask, splits=("train", "val", "test"), numbers=range(4), **options):
        (tmp_path / "classes.txt").write_text("background\nsquare\n")
        for split in ("train", "val", "test"):
            for kind in ("images", "masks"):
                (tmp_path / kind / split).mkdir(parents=True, exist_ok=True)
            for number in range(4):
                mask = change(SCENE) if split in splits and number in numbers else SCENE
                mask = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
                mask.save(tmp_path / "masks" / split / f"{number}.png")
                Image.fromarray(np.dstack([SCENE * 200] * 3)).save(tmp_path / "images" / split / f"{number}.png")
        return ImageMaskFolder(tmp_path, **{"size": (16, 16), "batch_size": 2, "num_workers": 0, **options})

    return write


def palette(mask):
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 255, 255, 255] + [0] * 762)
    return image


@pytest.mark.parametrize(
    "change",
    [lambda mask: mask, lambda mask: mask > 0, palette, lambda mask: mask.astype(np.uint16)],
    ids=["plain", "bilevel", "white palette", "16 bits"],
)
@pytest.mark.filterwarnings("error")
def test_good_masks_are_read_without_a_word(folder, change):
    data = folder(change)
    data.setup("fit")
    data.setup("test")
    for split in ("train", "val", "test"):
        assert np.array_equal(data.split(split).masks[0], SCENE)
        assert list(data.remarks(split)) == []


@pytest.mark.parametrize("colours", [3, 4, 2], ids=["RGB", "RGBA", "with alpha"])
def test_colours_are_refused(folder, one_line, colours):
    data = folder(lambda mask: np.dstack([mask] * (colours - 1) + [mask if colours == 3 else VOID]))
    with pytest.raises(DataError) as error:
        data.setup("fit")
    one_line(error, "one class index a pixel")


def test_black_and_white_is_refused_and_read_by_its_values(folder, one_line):
    data = folder(lambda mask: mask * 255)
    with pytest.raises(DataError) as error:
        data.setup("fit")
    one_line(error, "train: its 4 masks hold background and value 255, which is ignored, alone", "values [0,255]")
    with pytest.raises(DataError, match=r"^test: "):
        data.setup("test")
    data = folder(lambda mask: mask * 255, values=[0, 255])
    data.setup("fit")
    assert np.array_equal(data.split("train").masks[0], SCENE)


def test_zero_and_one_where_zero_is_ignored_are_refused(folder, one_line):
    with pytest.raises(DataError) as error:
        folder(reduce_zero_label=True).setup("fit")
    one_line(error, "masks hold background and value 0, 255, which is ignored, alone")


@pytest.mark.parametrize(("split", "stage"), [("train", "fit"), ("val", "fit"), ("test", "test")])
def test_a_split_without_a_labelled_pixel_is_refused(folder, one_line, split, stage):
    data = folder(lambda mask: VOID, (split,))
    with pytest.raises(DataError) as error:
        data.setup(stage)
    one_line(error, f"{split}: not one pixel of its 4 masks has a label, all are of value 255")


@pytest.mark.filterwarnings("error")
def test_a_few_masks_without_a_label_are_no_matter(folder):
    data = folder(lambda mask: VOID, numbers=range(3))
    data.setup("fit")
    data.setup("test")


@pytest.mark.parametrize(("split", "follows"), [("train", "can't be learnt"), ("val", "means are over the 1 classes")])
def test_an_absent_class_is_said_once(folder, split, follows):
    data = folder(lambda mask: mask * 0, (split,))
    with pytest.warns(UserWarning, match=rf"^{split}: not one pixel of its 4 masks is square, .*{follows}") as said:
        data.setup("fit")
    assert len(said) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data.setup("fit")
    assert [remark.partition(":")[0] for remark in data.remarks(split)] == [split]


@pytest.mark.parametrize("values", [[0], [0, 0], [0, 65536], [-1, 0]])
def test_values_that_are_none(folder, values):
    with pytest.raises(ValueError, match=r"^values="):
        folder(values=values).setup("fit")


def test_large_splits_are_looked_at_in_part(tmp_path):
    """A class that was not among the masks looked at is no news; a split of one class is read to its end."""
    for name, array in (("ground", SCENE * 0), ("both", SCENE)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    ground, both = tmp_path / "ground.png", tmp_path / "both.png"
    found = survey(MaskFiles([both] * 50, class_labels(3)), 3, most=10)
    assert (found.masks, found.complete) == (10, False)
    found = survey(MaskFiles([both] * 50, class_labels(3)), 3, most=None)
    assert (found.masks, found.complete, found.lacking(3)) == (50, True, [2])
    found = survey(MaskFiles([ground] * 50, class_labels(2)), 2, most=10)
    assert (found.masks, found.complete, found.lacking(2)) == (50, True, [1])
    found = survey(MaskFiles([ground] * 30 + [both] * 20, class_labels(2)), 2, most=10)
    assert found.complete
    assert found.masks < 10, "masks are taken from all over the list"


def test_a_mask_that_cannot_be_read_stops_a_training_before_it_starts(folder, tmp_path):
    data = folder()
    (tmp_path / "masks" / "train" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"masks/train/0\.png: .*damaged"):
        data.setup("fit")
    assert list(data.remarks("train")) == [], "check-data names it when it reads the pictures"

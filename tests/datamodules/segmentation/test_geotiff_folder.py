"""Pictures of any number of bands: normalised by their own values, ignored where they have none."""

from __future__ import annotations

import numpy as np
import pytest

rasterio = pytest.importorskip("rasterio")

from PIL import Image  # noqa: E402
from rasterio.transform import from_origin  # noqa: E402

from blockyard.datamodules import DataError, GeoTIFFFolder  # noqa: E402
from blockyard.datamodules.segmentation import geotiff_folder as module  # noqa: E402
from blockyard.datamodules.vocabulary import Vocabulary  # noqa: E402

RANDOM = np.random.default_rng(0)
PLACE = from_origin(500_000, 5_400_000, 10, 10)
SIZE = (20, 30)
MEANS, DEVIATIONS = np.array([100, 2_000, 30, 900]), np.array([5, 300, 2, 90])


def save(path, values, transform=PLACE, **options):
    """Write ``(H, W, C)`` or ``(H, W)``."""
    bands = values.reshape(*values.shape[:2], -1).transpose(2, 0, 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = dict(zip(("count", "height", "width"), bands.shape, strict=True)) | {"dtype": bands.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", crs="EPSG:32633", transform=transform, **shape, **options) as file:
        file.write(bands)


def picture(bands=4, dtype=np.uint16):
    values = RANDOM.normal(np.resize(MEANS, bands), np.resize(DEVIATIONS, bands), (*SIZE, bands)).clip(1)
    values[:4, :10] = 0
    return values.astype(dtype)


@pytest.fixture
def root(tmp_path):
    (tmp_path / "classes.txt").write_text("soil #a08050\ncrop #20a020\n")
    for split, count in (("train", 5), ("test", 2)):
        for number in range(count):
            save(tmp_path / f"images/{split}/{number}.tif", picture(), nodata=0)
            save(tmp_path / f"masks/{split}/{number}.tif", RANDOM.integers(0, 2, SIZE, np.uint8))
    return tmp_path


def folder(root, **options):
    return GeoTIFFFolder(str(root), **{"size": (16, 24), "batch_size": 2, "num_workers": 0, **options})


def test_bands_are_normalised_by_what_the_training_pictures_hold(root):
    data = folder(root, val_fraction=0)
    assert data.in_channels == 4
    pixels = np.concatenate([rasterio.open(root / f"images/train/{n}.tif").read().reshape(4, -1) for n in range(5)], 1)
    pixels = pixels[:, pixels.any(0)]
    np.testing.assert_allclose(data.mean, pixels.mean(1), rtol=1e-9)
    np.testing.assert_allclose(data.std, pixels.std(1), rtol=1e-9)
    picture, mask = data.split("train").read(0)
    raw = rasterio.open(root / "images/train/0.tif").read().transpose(1, 2, 0)
    void = ~raw.any(-1)
    np.testing.assert_allclose(picture[~void], ((raw - data.mean) / data.std)[~void], atol=1e-4)
    assert (picture[void] == 0).all()
    assert (mask[void] == 255).all()
    assert (mask[~void] < 2).all()
    assert data.pixel_counts()[0].sum() == 5 * (~void).sum(), "weights of classes count no pixel without data"


def test_training_batches_have_all_bands_and_no_nan(root):
    for batch in folder(root, scale=(0.5, 2.0)).train_dataloader():
        assert batch["input"].shape == (2, 4, 16, 24)
        assert batch["input"].isfinite().all()
        assert batch["target"].shape == (2, 16, 24)
        assert (batch["input"].movedim(1, -1)[batch["target"] == 255] == 0).float().mean() > 0.5, "padding is no data"


def test_whole_pictures_keep_their_size(root):
    (batch,) = folder(root).test_dataloader()
    assert [tuple(one.shape) for one in batch["input"]] == [(4, *SIZE)] * 2
    assert all((mask == 255).sum() == 40 for mask in batch["target"])


def test_bands_can_be_chosen(root):
    data = folder(root, bands=[4, 1], mean=[900, 100], std=[90, 5])
    picture, _ = data.split("test").read(0)
    raw = rasterio.open(root / "images/test/0.tif").read([4, 1]).transpose(1, 2, 0)
    np.testing.assert_allclose(picture[5:], ((raw - [900, 100]) / [90, 5])[5:], atol=1e-4)
    assert data.read_vocabulary().channels == ("4", "1")
    with pytest.raises(ValueError, match="a number for each of 3 bands"):
        folder(root, bands=[1, 2, 3], mean=[900, 100], std=[90, 5]).setup("fit")


def test_a_checkpoint_s_bands_and_values_go_before_those_of_the_data(root):
    data = folder(root)
    data.known = Vocabulary(2, channels=("2", "3"), mean=(1.0, 2.0), std=(3.0, 4.0))
    assert (data.in_channels, data.mean, data.std) == (2, (1.0, 2.0), (3.0, 4.0))


@pytest.mark.parametrize("bands", [1, 130])
def test_one_band_and_more_than_opencv_takes(root, bands):
    for path in root.glob("images/*/*.tif"):
        save(path, picture(bands, np.float32), nodata=0)
    data = folder(root, scale=(1.5, 1.5))
    (batch, *_) = data.train_dataloader()
    assert batch["input"].shape == (2, bands, 16, 24)
    split = data.split("test")
    assert split.visible(0, split[0]["input"]).shape == (*SIZE, 3)


def test_what_people_see_is_stretched(root):
    split = folder(root).split("test")
    seen = split.visible(1, split[1]["input"])
    assert seen.dtype == np.uint8
    shares = [(seen[4:] == value).mean() for value in (0, 255)]
    assert all(0.01 < share < 0.04 for share in shares)


def test_each_mistake_is_one_line_that_names_the_file(root, one_line):
    (image, mask), place = (root / kind / "train" / "2.tif" for kind in ("images", "masks")), from_origin(0, 9, 10, 10)
    good = picture(), RANDOM.integers(0, 2, SIZE, np.uint8)
    broken = {
        "3 bands, but the data have 4": (image, picture(3), {}),
        "29×20 pixels, but its picture has 30×20": (mask, good[1][:, :29], {}),
        "beside its picture": (mask, good[1], {"transform": place}),
        "value 7 is wrong": (mask, good[1] + np.uint8(6), {}),
        "complex numbers": (image, picture().astype(np.complex64), {}),
    }
    for words, (path, values, options) in broken.items():
        save(path, values, **options)
        ((name, said),) = folder(root, val_fraction=0).check("train")
        assert (name, words in said, str(path) in said) == ("2.tif", True, True), said
        with pytest.raises(DataError) as error:
            list(folder(root, val_fraction=0, batch_size=5).train_dataloader())
        one_line(error, path, words)
        save(image, good[0], nodata=0)
        save(mask, good[1])
    assert not list(folder(root).check("train"))


def test_bands_are_counted_before_a_training(root, one_line):
    save(root / "images/train/4.tif", picture(5))
    with pytest.raises(DataError) as error:
        folder(root).setup("fit")
    one_line(error, root / "images/train/4.tif", "5 bands, but the data have 4")


def test_masks_may_be_plain_pictures(root):
    path = root / "masks/test/0.tif"
    numbers = rasterio.open(path).read(1)
    path.unlink()
    Image.fromarray(numbers).save(path.with_suffix(".png"))
    _, mask = folder(root).split("test").read(0)
    assert np.array_equal(mask[4:], numbers[4:])
    assert (mask[:4, :10] == 255).all()


def test_masks_may_have_colours(root):
    path = root / "masks/test/0.tif"
    numbers = rasterio.open(path).read(1)
    save(path, np.array([(0xA0, 0x80, 0x50), (0x20, 0xA0, 0x20)], np.uint8)[numbers])
    _, mask = folder(root).split("test").read(0)
    assert np.array_equal(mask[4:], numbers[4:])


def test_where_a_mask_has_no_data_nothing_is_asked(root):
    save(root / "masks/test/0.tif", np.pad(np.ones((20, 10), np.float32), ((0, 0), (0, 20))), nodata=0)
    _, mask = folder(root).split("test").read(0)
    assert (mask[:, 10:] == 255).all()
    assert (mask[4:, :10] == 1).all()


def test_options_that_make_no_sense_are_refused(root, monkeypatch, one_line):
    for options, words in (
        ({"photometric": True}, "in colours"),
        ({"bits": 12}, "in colours"),
        ({"bands": [0, 1]}, "numbers from 1"),
        ({"mean": [1.0]}, "both or neither"),
    ):
        with pytest.raises(ValueError, match=words):
            folder(root, **options)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="not installed") as error:
        folder(root)
    one_line(error, "GeoTIFFFolder needs rasterio, which is not installed: pip install 'blockyard[geotiff]'")

"""Pictures for prediction: whatever people have, one by one or by folder."""

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import CIFAR10, DataError, Digits, ImageFolder
from blockyard.datamodules.image.new_pictures import NewPictures
from blockyard.datamodules.images import PICTURES

GREEN = np.full((20, 30, 3), (0, 204, 51), np.uint8)  # in every palette
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def save(path, pixels=GREEN, mode="RGB", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.fixture
def mixed(tmp_path):
    """Nested folders of most kinds of pictures, all of them green, and three that are none."""
    save(tmp_path / "rgb.jpg", quality=100, subsampling=0)
    save(tmp_path / "deep" / "er" / "rgba.png", mode="RGBA")
    save(tmp_path / "deep" / "cmyk.tif", mode="CMYK")
    save(tmp_path / "palette.png", mode="P")
    save(tmp_path / "tiny.bmp", GREEN[:1, :1])
    save(tmp_path / "narrow.png", np.broadcast_to(GREEN[:1, :1], (1, 20_000, 3)))
    whole = (tmp_path / "rgb.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "deep" / "text.jpeg").write_text("no picture")
    (tmp_path / "notes.txt").write_text("passed over")
    return tmp_path


def test_every_readable_picture_becomes_the_same_input_and_the_others_are_told(mixed):
    data = ImageFolder("nowhere", predict_folder=mixed, size=16, batch_size=16, num_workers=0, mean=MEAN, std=STD)
    (batch,) = data.predict_dataloader()
    names = data.names("predict")
    assert len(names) == 9
    unread = {name for name, valid in zip(names, batch["valid"].tolist(), strict=True) if not valid}
    assert unread == {"half.jpg", "empty.png", "deep/text.jpeg"}
    green = (torch.tensor([0, 204, 51]) / 255 - 0.5) / 0.25
    seen = batch["input"][batch["valid"]]
    # JPEG and CMYK round
    assert (seen - green[:, None, None]).abs().max() < 4 * 4 / 255


def test_problems_are_named_one_by_one(mixed):
    data = ImageFolder("nowhere", predict_folder=mixed, num_workers=0)
    assert [name for name, _ in data.check("predict")] == ["deep/text.jpeg", "empty.png", "half.jpg"]


def test_sixteen_bits_keep_their_upper_eight(tmp_path):
    ramp = (np.arange(64, dtype=np.uint16) * 1000).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "deep.png")
    (sample,) = (NewPictures(PICTURES.find_new(str(tmp_path)), 8, None, (0.0,), (1.0,))[0],)
    assert sample["input"].shape == (8, 8, 1)
    assert np.array_equal(sample["input"][..., 0], (ramp >> 8).astype(np.uint8))


def test_one_file_several_and_folders_among_them(tmp_path):
    one, other = save(tmp_path / "one.png"), save(tmp_path / "box" / "other.jpg")
    assert PICTURES.find_new(str(one)).names == ["one.png"]
    both = PICTURES.find_new([str(one), str(tmp_path / "box")])
    assert both.names == ["one.png", "box/other.jpg"]
    assert both.paths == [one, other]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.png is missing"):
        PICTURES.find_new([str(tmp_path / "none.png")])
    with pytest.raises(DataError, match="holds no picture"):
        PICTURES.find_new(str(tmp_path))


def test_digits_take_pictures_of_any_kind_as_their_brightness(mixed):
    data = Digits("28x28", predict_folder=str(mixed))
    batch = next(iter(data.predict_dataloader()))
    assert batch["input"].shape == (9, 1, 28, 28)
    brightness = (0.587 * 204 + 0.114 * 51) / 255
    seen = batch["input"][batch["valid"]] * data.std[0] + data.mean[0]
    assert (seen - brightness).abs().max() < 4 / 255


def test_cifar_takes_them_without_its_own_files(mixed):
    data = CIFAR10("nowhere", predict_folder=[str(mixed / "rgb.jpg")], num_workers=0)
    assert next(iter(data.predict_dataloader()))["input"].shape == (1, 3, 32, 32)


def test_hyperparameters_stay_plain(tmp_path):
    data = ImageFolder(tmp_path, predict_folder=[tmp_path / "a.png"])
    assert data.hparams["predict_folder"] == [str(tmp_path / "a.png")]

"""Folders of pictures, with everything that folders of pictures have in them."""

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import DataError, ImageFolder


def save(path, pixels, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@pytest.fixture
def root(tmp_path):
    """Two classes of 20 pictures of random size: dark cats, bright dogs."""
    generator = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 5)):
        for name, low in (("dog", 160), ("cat", 0)):
            for number in range(count):
                shape = (*generator.integers(10, 60, size=2), 3)
                pixels = generator.integers(low, low + 90, size=shape, dtype=np.uint8)
                save(tmp_path / split / name / f"{number:02d}.{'jpg' if number % 2 else 'PNG'}", pixels)
    return tmp_path


def folder(root, **options):
    return ImageFolder(root, **{"size": 16, "batch_size": 8, "num_workers": 0, **options})


def test_pictures_of_any_size_become_one(root):
    data = folder(root)
    assert data.classes == ["cat", "dog"]
    assert data.input_shape == (3, 16, 16)
    for loader in (data.train_dataloader(), data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            assert batch["input"].shape[1:] == (3, 16, 16)
            bright = batch["input"].mean(dim=(1, 2, 3)) > 0
            assert torch.equal(bright.long(), batch["target"])


def test_without_a_val_folder_the_last_of_each_class_are_held_out(root):
    data = folder(root, val_fraction=0.2)
    assert data.names("val") == [f"{name}/{number}.{kind}" for name in ("cat", "dog") for number, kind in LAST_FOUR]
    assert not set(data.names("train")) & set(data.names("val"))
    assert len(data.names("train")) == 32


def test_five_crops_are_the_middle_and_the_corners_of_the_resized_picture(root):
    middle, data = folder(root, resize=20), folder(root, resize=20, crops=5)
    (whole,), split = [b["input"] for b in middle.test_dataloader()][:1], data.split("test")
    (crops,) = [b["input"] for b in data.test_dataloader()][:1]
    assert crops.shape == (8, 5, 3, 16, 16)
    assert torch.equal(crops[:, 0], whole)
    resized = split.transform(image=split.images[0])["image"]
    corners = [resized[:16, :16], resized[:16, -16:], resized[-16:, :16], resized[-16:, -16:]]
    assert all(np.array_equal(crop, corner) for crop, corner in zip(split[0]["input"][1:], corners, strict=True))
    assert all(batch["input"].ndim == 4 for batch in data.val_dataloader())


LAST_FOUR = [(16, "PNG"), (17, "jpg"), (18, "PNG"), (19, "jpg")]


def test_a_val_folder_is_used_whole(root):
    for name in ("cat", "dog"):
        save(root / "val" / name / "deeper" / "a.png", np.zeros((9, 9, 3), np.uint8))
    data = folder(root)
    assert data.names("val") == ["cat/deeper/a.png", "dog/deeper/a.png"]
    assert len(data.names("train")) == 40


def test_other_files_are_passed_over(root):
    (root / "train" / "cat" / "Thumbs.db").write_bytes(b"x")
    (root / "train" / ".cache").mkdir()
    (root / "train" / "cat" / "._01.jpg").write_bytes(b"x")
    data = folder(root)
    assert data.classes == ["cat", "dog"]
    assert len(data.split("train")) == 36


def test_kinds_of_pictures_become_rgb(tmp_path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    colour = np.stack([ramp, ramp.T, 255 - ramp], axis=-1)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    Image.fromarray(ramp).save(tmp_path / "named_wrongly.jpeg", format="PNG")
    Image.fromarray(colour).convert("CMYK").save(tmp_path / "cmyk.tif")
    Image.fromarray(np.dstack([colour, ramp])).save(tmp_path / "transparent.png")
    Image.fromarray(colour).save(tmp_path / "turned.png", exif=_turned())
    data = ImageFolder("nowhere", predict_folder=tmp_path, size=8, resize=8, num_workers=0)
    images = dict(zip(data.names("predict"), data.split("predict").images, strict=True))
    for name in ("grey.png", "grey16.png", "named_wrongly.jpeg"):
        assert np.array_equal(images[name], np.stack([ramp] * 3, axis=-1)), name
    for name in ("cmyk.tif", "transparent.png"):
        assert np.array_equal(images[name], colour), name
    assert np.array_equal(images["turned.png"], np.rot90(colour, -1)), "as any viewer shows it"
    assert next(iter(data.predict_dataloader()))["input"].shape == (6, 3, 8, 8)


def test_training_tests_and_prediction_turn_alike(tmp_path):
    colour = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for folder in ("train/a", "train/b", "test/a", "test/b", "predict"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(colour).save(tmp_path / folder / f"{number}.png", exif=_turned())
    data = ImageFolder(tmp_path, val_fraction=0.5, predict_folder=tmp_path / "predict", size=4, num_workers=0)
    for split in ("train", "val", "test", "predict"):
        assert np.array_equal(data.split(split).images[0], np.rot90(colour, -1)), split
    assert {finding.note for finding in data.findings("test")} == {"turned upright by its orientation tag 6"}


def test_bits_reach_every_split(tmp_path):
    for folder in ("train/a", "train/b", "test/a", "test/b", "predict"):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(np.full((6, 8), 640, np.uint16)).save(tmp_path / folder / f"{number}.png")
    options = {"val_fraction": 0.5, "predict_folder": tmp_path / "predict", "size": 4, "num_workers": 0}
    data = ImageFolder(tmp_path, bits=12, **options)
    for split in ("train", "val", "test", "predict"):
        assert (data.split(split).images[0] == 40).all(), split
    assert "data.bits, such as 10" in dict(ImageFolder(tmp_path, **options).check("test"))["a/0.png"]


def _turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_picture_is_named(root, one_line, workers):
    path = root / "test" / "cat" / "01.jpg"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError) as error:
        list(folder(root, num_workers=workers).test_dataloader())
    one_line(error, path, "damaged")
    assert str(error.value).startswith(str(root)), "nothing of a worker's traceback"


@pytest.mark.parametrize("workers", [0, 2])
def test_check_names_every_damaged_picture(root, workers):
    for name in ("cat/01.jpg", "dog/02.PNG"):
        path = root / "test" / name
        path.write_bytes(path.read_bytes()[:60])
    data = folder(root, num_workers=workers)
    problems = dict(data.check("test"))
    assert list(problems) == ["cat/01.jpg", "dog/02.PNG"]
    assert str(root / "test" / "cat" / "01.jpg") in problems["cat/01.jpg"]
    assert not list(data.check("train"))


def test_classes_must_be_those_of_training(root, one_line):
    save(root / "test" / "cow" / "a.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError) as error:
        folder(root).setup("test")
    one_line(error, root / "test", "cow (only in test)")


def test_an_empty_class_is_named(root, one_line):
    (root / "train" / "cow").mkdir()
    with pytest.raises(DataError) as error:
        folder(root).setup("fit")
    one_line(error, root / "train" / "cow", "holds no picture")


def test_missing_folders_are_named(tmp_path, root, one_line):
    with pytest.raises(DataError) as error:
        folder(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "train", "missing")
    with pytest.raises(DataError) as error:
        folder(root).setup("predict")
    one_line(error, root / "predict", "missing")


def test_a_class_too_small_to_hold_out_from_is_refused(tmp_path, one_line):
    for name in ("cat", "dog"):
        save(tmp_path / "train" / name / "only.png", np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(DataError) as error:
        folder(tmp_path).setup("fit")
    one_line(error, "class cat")


def test_evaluation_may_be_at_another_size_than_training(root):
    """Cropped in the same proportion: 24 of 32 pixels are as 16 of 21."""
    data = folder(root, resize=21, test_size=24, predict_folder=str(root / "test"))
    shapes = {name: data.plain_dataloader(name) for name in ("val", "test", "predict")}
    found = {name: next(iter(loader))["input"].shape[2:] for name, loader in shapes.items()}
    assert found == {"val": (16, 16), "test": (24, 24), "predict": (24, 24)}
    assert next(iter(data.train_dataloader()))["input"].shape[2:] == (16, 16)
    assert data.split("test").transform(image=np.zeros((40, 64, 3), np.uint8))["image"].shape == (24, 24, 3)
    assert data.preparation(24).transforms[0].max_size == 32
    assert data.input_shape == (3, 16, 16), "what the network was built and costed for"
    assert "test_size" in ImageFolder.evaluation_options
    five = folder(root, test_size=24, crops=5)
    assert next(iter(five.test_dataloader()))["input"].shape[-2:] == (24, 24)
    with pytest.raises(ValueError, match="test_size=0 must be positive"):
        folder(root, test_size=0)

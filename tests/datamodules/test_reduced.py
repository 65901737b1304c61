"""Pictures decoded at a part of their size: the same crops of the same pictures, to a small difference."""

import albumentations as A
import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import CUB200, DataError, ImageFolder
from blockyard.datamodules.reduced import DecodingCrop, DecodingShortSide
from blockyard.media.picture_files import ORIENTATION

SIZE = 32
LEVELS = 6
"""Of 255, on average: what another filter, and edges of a crop rounded to pixels, do to clouds of this grain."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Clouds of several sizes, upright and not, grey, CMYK and PNG."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for number in range(16):
        clouds = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        size = tuple(generator.integers(60, 400, 2).tolist())
        picture = Image.fromarray(cv2.resize(clouds, size, interpolation=cv2.INTER_CUBIC))
        exif = Image.Exif()
        exif[ORIENTATION] = number % 8 + 1
        mode = {3: "L", 5: "CMYK"}.get(number, "RGB")
        for split in ("train", "test"):
            path = folder / split / "ab"[number % 2] / f"{number:02d}.{'png' if number == 7 else 'jpg'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.convert(mode).save(path, exif=exif)
    return folder


def folder(root, decode, **options):
    return ImageFolder(root, **{"size": SIZE, "batch_size": 12, "num_workers": 0, "decode": decode, **options})


def levels(data, loader):
    """Inputs of a batch in units of a pixel's 256 levels."""
    batch = next(iter(loader))
    return batch["index"], batch["input"] * 255 * torch.tensor(data.std).view(3, 1, 1)


@pytest.mark.parametrize("scale", [(0.08, 1.0), (0.5, 1.0), None])
@pytest.mark.parametrize("split", ["train", "test", "predict"])
def test_the_same_crops_of_the_same_pictures(root, split, scale):
    """They are turned, mirrored and drawn as without: a flip or another crop would differ by tens of levels."""
    options = {"scale": scale, "predict_folder": str(root / "test"), "erasing": 0.5}
    exact, reduced = (folder(root, decode, **options) for decode in (None, "reduced"))
    indices, pixels = levels(exact, getattr(exact, f"{split}_dataloader")())
    others, near = levels(reduced, getattr(reduced, f"{split}_dataloader")())
    assert torch.equal(indices, others)
    assert (pixels - near).abs().mean((1, 2, 3)).max() < LEVELS
    assert not torch.equal(pixels, near)


def test_what_can_not_be_reduced_is_read_as_ever(root):
    exact, reduced = (folder(root, decode).split("test") for decode in (None, "reduced"))
    (png,) = [position for position, path in enumerate(exact.images.paths) if path.suffix == ".png"]
    assert np.array_equal(exact[png]["input"], reduced[png]["input"])


@pytest.mark.parametrize("split", ["train", "test"])
def test_damage_is_said_alike(root, tmp_path, split):
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            content = (
                (root / part / name / f"{'0' if name == 'a' else '01'}".rjust(2, "0")).with_suffix(".jpg").read_bytes()
            )
            for number in range(8):
                (tmp_path / part / name / f"{number}.jpg").write_bytes(content[:-50])
    said = []
    for decode in (None, "reduced"):
        with pytest.raises(DataError) as error:
            folder(tmp_path, decode).split(split)[0]
        said.append(str(error.value))
    assert said[0] == said[1]


def test_no_more_is_decoded_than_is_wanted():
    """The largest of 1, 2, 4 and 8 that leaves as many pixels as the result has."""
    asked = []

    def read(reduction):
        asked.append(reduction)
        return np.zeros((-(-301 // reduction), -(-1000 // reduction), 3), np.uint8), 1

    for length in (301, 151, 150, 76, 75, 38, 37, 10):
        resized = A.Compose([DecodingShortSide(length)])(image=np.empty((301, 1000, 0), np.uint8), read=read)["image"]
        assert resized.shape == (length, round(1000 * length / 301), 3)
    assert asked == [1, 1, 2, 2, 4, 4, 8, 8]
    asked.clear()
    for size in (301, 200, 150, 75, 37):
        crop = A.Compose([DecodingCrop((size, size), scale=(1.0, 1.0), ratio=(1.0, 1.0))])
        assert crop(image=np.empty((301, 1000, 0), np.uint8), read=read)["image"].shape == (size, size, 3)
    assert asked == [1, 1, 2, 4, 8]


def test_without_a_file_they_are_the_transforms_that_they_stand_for():
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    pairs = ((DecodingCrop, A.RandomResizedCrop, (20, 20)), (DecodingShortSide, A.SmallestMaxSize, 20))
    for decoding, plain, size in pairs:
        made = [A.Compose([kind(size, interpolation=cv2.INTER_AREA)], seed=3) for kind in (decoding, plain)]
        first, second = (compose(image=picture)["image"] for compose in made)
        assert np.array_equal(first, second)


def test_decode_is_reduced_or_null(root):
    with pytest.raises(ValueError, match=r"^ImageFolder: decode='halved' must be reduced or null"):
        folder(root, "halved")
    assert CUB200(".", decode="reduced").decode == "reduced"

"""CUB-200-2011 in its published layout, written small."""

import shutil

import numpy as np
import pytest
from PIL import Image

from blockyard.datamodules import CUB200, DataError
from blockyard.datamodules.image.cub200 import BoxedFiles
from blockyard.samples.tiny_images import parts_of_photographs, save

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


BIRDS = ("Palace_Warbler", "Flower_Piercer", "Grass_Finch")


def write_tiny_birds(root, train=5, test=3):
    """CUB-200-2011 of three classes, parts of photographs, one of them grey."""
    folder = root / "CUB_200_2011"
    names, files, labels, flags, boxes = [f"{n:03d}.{bird}" for n, bird in enumerate(BIRDS, 1)], [], [], [], []
    parts = sorted(parts_of_photographs(3 * (train + test), (75, 100), seed=0), key=lambda part: part[0])
    for image, (label, number, picture) in enumerate(parts, 1):
        name = f"{names[label]}/{BIRDS[label]}_{number:04d}_{1000 + image}.jpg"
        save(folder / "images" / name, picture, "L" if image == 2 else "RGB")
        height, width = picture.shape[:2]
        files.append(f"{image} {name}")
        labels.append(f"{image} {label + 1}")
        flags.append(f"{image} {int(number // 3 < train)}")
        boxes.append(f"{image} {width // 4}.0 {height // 4}.0 {width // 2}.0 {height // 2}.0")
    titles = [f"{number} {name}" for number, name in enumerate(names, 1)]
    # Not in one order: what belongs together has one number.
    tables = {"classes": titles, "images": files, "image_class_labels": labels[::-1], "train_test_split": flags}
    for name, lines in {**tables, "bounding_boxes": boxes[::-1]}.items():
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    return write_tiny_birds(tmp_path_factory.mktemp("birds"))


@pytest.fixture
def root(birds, tmp_path):
    return shutil.copytree(birds, tmp_path / "birds")


def cub(root, **options):
    options = {"val_fraction": 0.4, "verify": False, "size": 32, "batch_size": 4, "num_workers": 0, **options}
    return CUB200(root, **options)


def test_files_are_joined_by_number(birds):
    data = cub(birds)
    assert data.classes == ["001.Palace_Warbler", "002.Flower_Piercer", "003.Grass_Finch"]
    for name, count in (("train", 3), ("val", 2), ("test", 3)):
        split = data.split(name)
        assert np.bincount(split.targets).tolist() == [count] * 3
        assert [data.classes[label] for label in split.targets] == [path.partition("/")[0] for path in split.names]
    names = [set(data.names(split)) for split in ("train", "val", "test")]
    assert len(set.union(*names)) == 24
    assert next(iter(data.train_dataloader()))["input"].shape == (4, 3, 32, 32)


def test_grey_pictures_become_rgb(birds):
    image = cub(birds, val_fraction=0).split("train").images[1]
    assert image.shape[2] == 3
    assert np.array_equal(image[..., 0], image[..., 2])


def test_all_training_pictures_can_be_trained_on(birds):
    data = cub(birds, val_fraction=0)
    assert (len(data.split("train")), len(data.split("val"))) == (15, 0)


def test_pictures_are_cut_to_their_boxes(birds):
    whole, cut = (cub(birds, crop_boxes=cropped).split("test") for cropped in (False, True))
    for picture, part in zip(whole.images, cut.images, strict=True):
        height, width = picture.shape[:2]
        inside = picture[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2]
        assert np.array_equal(part, inside)


def test_448_pixels_are_the_default(birds):
    data = CUB200(birds, verify=False)
    assert data.input_shape == (3, 448, 448)
    assert data.resize == 512


def test_published_counts_are_checked(birds, one_line):
    with pytest.raises(DataError) as error:
        cub(birds, verify=True).setup("fit")
    one_line(error, "3 classes, not 200 as published", "verify=False")


@pytest.mark.parametrize(
    ("file", "content", "expected"),
    [
        ("images.txt", "1 ../../x.jpg\n", "'../../x.jpg'"),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", "a number is there twice"),
        ("images.txt", "one a.jpg\n", "expected, found 'one a.jpg'"),
        ("image_class_labels.txt", "1 1\n", "no whole number for picture 6"),
        ("train_test_split.txt", "1 yes\n", "no whole number for picture 1"),
        ("classes.txt", "1 a\n3 b\n", "numbered from 1 without gaps"),
        ("classes.txt", "1 a\n2 b\n", "a class is not one of 1 to 2"),
        ("bounding_boxes.txt", "1 0 0 5 5\n", "no box of picture"),
    ],
)
def test_what_is_wrong_is_named(root, one_line, file, content, expected):
    (root / "CUB_200_2011" / file).write_text(content)
    with pytest.raises(DataError) as error:
        cub(root, crop_boxes=True).setup("test")
    one_line(error, root, expected)


def test_a_box_outside_its_picture_is_named(root, one_line):
    file = root / "CUB_200_2011" / "bounding_boxes.txt"
    lines = [f"{line.split()[0]} 900 900 5 5" for line in file.read_text().splitlines()]
    file.write_text("\n".join(lines))
    with pytest.raises(DataError) as error:
        cub(root, crop_boxes=True).split("test").images[0]
    one_line(error, "lies outside the picture")


def test_where_to_get_it(tmp_path, one_line):
    with pytest.raises(DataError) as error:
        cub(tmp_path).setup("fit")
    one_line(error, tmp_path / "CUB_200_2011", "is missing", "www.vision.caltech.edu")
    (tmp_path / "CUB_200_2011.tgz").write_bytes(b"half")
    with pytest.raises(DataError) as error:
        cub(tmp_path).setup("fit")
    one_line(error, "is not the published archive (md5")


def test_boxes_are_cut_as_stored_and_stand_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    cut = BoxedFiles([tmp_path / "a.png"], [(1.0, 2.0, 5.0, 3.0)])[0]
    assert np.array_equal(cut, np.rot90(stored[2:5, 1:6], -1))

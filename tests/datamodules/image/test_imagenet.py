"""ImageNet in every form it is passed on in, written small."""

import shutil

import numpy as np
import pytest

from blockyard.datamodules import DataError, ImageNet
from blockyard.datamodules.image.corruptions import SEVERITIES
from blockyard.samples.tiny_images import WNIDS, parts_of_photographs, save, write_tiny_images

FORMS = ("folders", "devkit", "kaggle")


def write_tiny_corrupted(root):
    """``ImageNet-C`` beside what ``write_tiny_images`` wrote: fog at five severities, 224×224."""
    for label, number, picture in parts_of_photographs(6, (224, 224), seed=1):
        for severity in SEVERITIES:
            fog = (picture + (200.0 - picture) * severity / 6).round().astype(np.uint8)
            folder = root / "ImageNet-C" / "fog" / str(severity) / WNIDS[label]
            save(folder / f"ILSVRC2012_val_{number + 1:08d}.JPEG", fog)
    return root


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    return {form: write_tiny_images(tmp_path_factory.mktemp(form), form) for form in FORMS}


@pytest.fixture
def copy(roots, tmp_path):
    return lambda form: shutil.copytree(roots[form], tmp_path / form)


def imagenet(root, **options):
    return ImageNet(root, **{"val_size": 6, "verify": False, "size": 32, "batch_size": 4, "num_workers": 0, **options})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*as published")
def test_all_forms_hold_the_same(roots, form):
    data = imagenet(roots[form])
    assert data.classes == sorted(WNIDS)
    assert np.bincount(data.split("train").targets).tolist() == [4, 4, 4]
    assert np.bincount(data.split("val").targets).tolist() == [2, 2, 2]
    assert not set(data.names("train")) & set(data.names("val"))
    test = data.split("test")
    label_of = {name.rpartition("/")[2]: int(label) for name, label in zip(test.names, test.targets, strict=True)}
    assert label_of == {f"ILSVRC2012_val_{number:08d}.JPEG": (number - 1) % 3 for number in range(1, 10)}
    batch = next(iter(data.test_dataloader()))
    assert batch["input"].shape == (4, 3, 32, 32)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.filterwarnings("ignore:.*as published")
def test_cmyk_and_png_called_jpeg_become_rgb(roots, form):
    split = imagenet(roots[form]).split("test")
    pictures = {name.rpartition("/")[2]: image for name, image in zip(split.names, split.images, strict=True)}
    palace, daisy = (pictures[f"ILSVRC2012_val_{number:08d}.JPEG"] for number in (1, 2))
    for picture in (palace, daisy):
        assert picture.shape in ((75, 100, 3), (100, 75, 3))
        assert picture.std() > 10
    clean = imagenet(roots["folders"]).split("test").images[0]
    assert np.array_equal(palace, clean)


def test_other_counts_than_the_published_are_refused_or_reported(roots, one_line):
    with pytest.raises(DataError) as error:
        imagenet(roots["folders"], verify=True).setup("fit")
    one_line(error, "3 classes, not 1,000 as published", "verify=False")
    data = imagenet(roots["folders"])
    with pytest.warns(UserWarning, match="9 validation pictures, not 50,000 as published"):
        data.setup("test")


@pytest.mark.filterwarnings("ignore:.*as published")
def test_a_flat_folder_without_labels_is_refused_with_the_remedy(copy, one_line):
    root = copy("devkit")
    shutil.rmtree(root / "ILSVRC2012_devkit_t12")
    with pytest.raises(DataError) as error:
        imagenet(root).setup("test")
    one_line(
        error, root / "val", "is flat", "ILSVRC2012_devkit_t12.tar.gz", "LOC_val_solution.csv", "one folder a class"
    )


@pytest.mark.filterwarnings("ignore:.*as published")
@pytest.mark.parametrize(
    ("form", "file", "content", "expected"),
    [
        (
            "kaggle",
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000002,n11939491\n",
            "no label of",
        ),
        ("kaggle", "LOC_val_solution.csv", "a,b\n1,2\n", "columns ImageId and PredictionString expected"),
        ("devkit", "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "1\n2\n", "no label of"),
        ("devkit", "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "4\n" * 9, "'4' is no class"),
        ("devkit", "ILSVRC2012_devkit_t12/data/meta.mat", "text", "is damaged"),
        ("devkit", "val/other.JPEG", "text", "in a flat folder"),
    ],
)
def test_what_is_wrong_is_named(copy, one_line, form, file, content, expected):
    root = copy(form)
    (root / file).write_text(content)
    with pytest.raises(DataError) as error:
        imagenet(root).setup("test")
    one_line(error, root, file.rpartition("/")[2], expected)


@pytest.mark.filterwarnings("ignore:.*as published")
def test_missing_folders(tmp_path, copy, one_line):
    with pytest.raises(DataError) as error:
        imagenet(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "train", "image-net.org")
    root = copy("folders")
    (root / "train" / WNIDS[0]).rename(root / "train" / "palace")
    with pytest.raises(DataError) as error:
        imagenet(root).setup("fit")
    one_line(error, "folders named like n01440764 expected, found palace")
    shutil.rmtree(root / "val")
    (root / "train" / "palace").rename(root / "train" / WNIDS[0])
    with pytest.raises(DataError) as error:
        imagenet(root).setup("test")
    one_line(error, root / "val", "is missing")


@pytest.mark.filterwarnings("ignore:.*as published")
def test_val_size_must_divide_among_the_classes(roots, one_line):
    with pytest.raises(DataError) as error:
        imagenet(roots["folders"], val_size=4).setup("fit")
    one_line(error, "val_size=4 must be a multiple of the 3 classes")
    assert len(imagenet(roots["folders"], val_size=0).split("val")) == 0


@pytest.mark.filterwarnings("ignore:.*as published")
def test_corrupted_pictures_take_the_place_of_the_test_split(copy, one_line):
    root = write_tiny_corrupted(copy("folders"))
    every = imagenet(root, size=224, corruption="fog")
    worst = imagenet(root, size=224, corruption="fog", severity=5)
    assert len(every.split("test")) == 30
    assert worst.names("test") == every.names("test")[-6:]
    assert worst.split("test").targets.tolist() == [0, 0, 1, 1, 2, 2]
    whole = worst.split("test")
    assert np.array_equal(whole[3]["input"], whole.images[3]), "taken whole"
    spread = [imagenet(root, corruption="fog", severity=level).split("test")[2]["input"].std() for level in range(1, 6)]
    assert spread == sorted(spread, reverse=True)
    assert worst.names("train") == imagenet(root).names("train")
    with pytest.raises(DataError) as error:
        imagenet(root, corruption="frost", severity=1).setup("test")
    one_line(error, root / "ImageNet-C" / "frost" / "1", "missing")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"corruption": "fogg"}, "no corruption fogg; did you mean fog"),
        ({"severity": 3}, "severity=3 must be 1 to 5, of a corruption"),
        ({"corruption": "fog", "severity": 6}, "severity=6 must be 1 to 5"),
        ({"val_size": -1}, "val_size=-1 must not be negative"),
    ],
)
def test_mistakes(options, expected):
    with pytest.raises(ValueError, match=expected):
        imagenet("x", **options)

import numpy as np
import pytest
import torch
from scipy.io import savemat

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.pascal_voc import PUBLISHED, PascalVOC
from blockyard.samples.tiny_scenes import VOC_VALUES, draw, write_tiny_voc
from blockyard.samples.voc_layout import save_mask, save_picture, write_list

pytestmark = pytest.mark.filterwarnings("ignore:.*not the published")


def write_tiny_boundaries(root):
    """``benchmark_RELEASE`` beside a tiny VOC: nine masks, of which six are of pictures that VOC has no mask of."""
    voc, folder = root / "VOCdevkit" / "VOC2012", root / "benchmark_RELEASE" / "dataset"
    lists = voc / "ImageSets" / "Segmentation"
    train, val = ((lists / f"{part}.txt").read_text().split() for part in ("train", "val"))
    new = [f"2008_{number:06d}" for number in range(6)]
    parts = {"train": [new[0], val[0], new[1], train[0], new[2]], "val": [new[3], val[1], new[4], new[5]]}
    (folder / "cls").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate([*parts["train"], *parts["val"]]):
        picture, mask = draw(1000 + number, (40, 56), VOC_VALUES)
        if name in new:
            save_picture(voc / "JPEGImages" / f"{name}.jpg", picture)
        savemat(folder / "cls" / f"{name}.mat", {"GTcls": {"Segmentation": mask, "CategoriesPresent": np.unique(mask)}})
    for part, members in parts.items():
        write_list(folder / f"{part}.txt", members)
    return root


@pytest.fixture
def root(tmp_path):
    return write_tiny_boundaries(write_tiny_voc(tmp_path))


@pytest.fixture
def voc(root):
    return root / "VOCdevkit" / "VOC2012"


def data_of(root, **options):
    return PascalVOC(root, **{"verify": False, "size": (32, 32), "batch_size": 2, "num_workers": 0, **options})


def stems(names):
    return [name.removesuffix(".jpg") for name in names]


def test_the_published_validation_split_is_the_test_split(root):
    data = data_of(root, val_fraction=0.25)
    train, val, test = (stems(data.names(split)) for split in ("train", "val", "test"))
    assert test == [f"2007_{number:06d}" for number in range(8, 12)]
    assert val == ["2007_000003", "2007_000007"]
    assert sorted(train + val) == [f"2007_{number:06d}" for number in range(8)]
    everything = data_of(root, val_fraction=0)
    assert len(everything.names("train")) == 8
    assert everything.val_dataloader() == []


def test_masks_hold_the_indices_of_the_palette(root):
    data = data_of(root)
    values = {
        value for batch in data.test_dataloader() for target in batch["target"] for value in target.unique().tolist()
    }
    assert {0, 255} < values <= {*range(21), 255}
    assert data.num_classes == len(data.classes) == len(data.palette) == 21
    assert data.classes[15] == "person"
    assert data.palette[15] == (192, 128, 128)


def test_cmyk_pictures_become_rgb(root):
    """The second picture was saved in CMYK: it must look as if it had not been."""
    batch = data_of(root, val_fraction=0).split("train")[1]
    assert batch["input"].shape == (32, 32, 3)


def test_trainaug_is_both_data_sets_without_the_published_validation(root):
    new = [f"2008_{number:06d}" for number in range(6)]
    data = data_of(root, train_list="trainaug", val_fraction=0)
    assert stems(data.names("train")) == [f"2007_{number:06d}" for number in range(8)] + new
    assert not set(data.names("train")) & set(data.names("test"))
    kinds = [path.suffix for path in data.split("train").masks.paths]
    assert kinds == [".png"] * 8 + [".mat"] * 6, "VOC's own masks where there are two"
    assert stems(data_of(root, train_list="aug").names("train")) == new
    assert all(len(batch["input"]) for batch in data.train_dataloader())


def test_validation_is_the_same_whatever_is_trained_on(root):
    lists = ("train", "trainaug", "aug")
    val, train = zip(
        *((data.names("val"), data.names("train")) for data in (data_of(root, train_list=n) for n in lists)),
        strict=True,
    )
    assert val[0] == val[1] == val[2]
    assert not any(set(val[0]) & set(names) for names in train)


def test_the_png_files_of_the_augmented_masks_are_read_where_they_are(root, voc):
    """They come for all pictures, validation included, in grey."""
    for path in sorted((voc / "JPEGImages").glob("*.jpg")):
        if path.stem not in ("2007_000012", "2007_000013", "2008_000005"):
            save_mask(voc / "SegmentationClassAug" / f"{path.stem}.png", np.full((40, 56), 3, np.uint8))
    data = data_of(root, train_list="aug")
    assert stems(data.names("train")) == [f"2008_{number:06d}" for number in range(5)]
    assert set(np.unique(data.split("train")[0]["target"])) <= {3, 255}


def test_predict_is_the_test_list_or_else_the_validation_list(root, voc):
    data = data_of(root)
    (batch,) = data.predict_dataloader()
    assert stems(data.names("predict")) == ["2007_000012", "2007_000013"]
    assert batch["size"].tolist() == [[40, 56], [56, 40]]
    (voc / "ImageSets" / "Segmentation" / "test.txt").unlink()
    assert data_of(root).names("predict") == data.names("test")


def test_published_counts_are_required(root, voc, one_line):
    with pytest.raises(DataError) as error:
        data_of(root, verify=True).setup("fit")
    one_line(error, voc / "ImageSets" / "Segmentation" / "train.txt", "8 pictures", "1464", "verify=False")
    with pytest.warns(UserWarning, match="not the published 1449"):
        data_of(root).setup("test")
    # trainaug = training list and what the other data set adds; its lists hold 11,355 in all.
    assert PUBLISHED["train"] + PUBLISHED["aug"] == 10_582
    assert PUBLISHED["SBD train"] + PUBLISHED["SBD val"] == 11_355


def test_what_is_missing_is_named_with_the_publishers_page(root, voc, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        data_of(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "VOCdevkit" / "VOC2012", "missing", "host.robots.ox.ac.uk")
    (voc / "SegmentationClass" / "2007_000009.png").unlink()
    with pytest.raises(DataError) as error:
        data_of(root).setup("test")
    one_line(error, "1 of 8 files", voc / "SegmentationClass" / "2007_000009.png")


def test_where_the_added_masks_are_expected_is_said(tmp_path, one_line):
    root = write_tiny_voc(tmp_path)
    with pytest.raises(DataError) as error:
        data_of(root, train_list="trainaug").setup("fit")
    one_line(error, "SegmentationClassAug", root / "benchmark_RELEASE" / "dataset", "SBD")


def test_an_archive_beside_the_data_costs_nothing(root, monkeypatch):
    """Its checksum takes seconds: it is looked at only where something is missing."""
    (root / "VOCtrainval_11-May-2012.tar").write_bytes(b"x")
    monkeypatch.setattr("hashlib.file_digest", None)
    data_of(root, train_list="trainaug").setup("fit")


def test_an_archive_that_lies_there_is_checked(tmp_path, one_line):
    (tmp_path / "VOCtrainval_11-May-2012.tar").write_bytes(b"half of it")
    with pytest.raises(DataError) as error:
        data_of(tmp_path).setup("fit")
    one_line(error, "is not the published archive")


def test_a_list_can_not_lead_out_of_the_folder(root, voc, one_line):
    write_list(voc / "ImageSets" / "Segmentation" / "val.txt", ["../../../secret"])
    with pytest.raises(DataError) as error:
        data_of(root).setup("test")
    one_line(error, "val.txt", "'../../../secret'")


def test_an_unknown_list_is_refused(root):
    with pytest.raises(ValueError, match="train_list must be"):
        data_of(root, train_list="trainval")


def test_a_batch_can_be_learnt_from(root):
    batch = next(iter(data_of(root, train_list="trainaug").train_dataloader()))
    assert batch["input"].shape == (2, 3, 32, 32)
    assert torch.isfinite(batch["input"]).all()

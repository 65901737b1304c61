import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from blockyard.datamodules import DataError
from blockyard.datamodules.segmentation.cityscapes import Cityscapes
from blockyard.samples.tiny_scenes import CITYSCAPES_TRAIN_IDS, write_tiny_cityscapes
from blockyard.samples.voc_layout import save_mask

pytestmark = pytest.mark.filterwarnings("ignore:.*not the published")


@pytest.fixture
def root(tmp_path):
    return write_tiny_cityscapes(tmp_path)


def data_of(root, **options):
    return Cityscapes(root, **{"verify": False, "size": (16, 32), "batch_size": 2, "num_workers": 0, **options})


def test_label_ids_become_train_ids(root):
    (batch,) = data_of(root).test_dataloader()
    seen = set()
    for number, target in enumerate(batch["target"]):
        stem = root / "gtFine" / "val" / "frankfurt" / f"frankfurt_{number:06d}_000019_gtFine_labelIds.png"
        ids = np.asarray(Image.open(stem))
        expected = np.vectorize(lambda value: CITYSCAPES_TRAIN_IDS.get(int(value), 255))(ids)
        assert np.array_equal(target.numpy(), expected)
        seen |= set(np.unique(expected).tolist())
    assert {255} < seen


def test_the_published_table():
    data = data_of("nowhere")
    labels = data.labels
    assert [labels[value] for value in (7, 8, 11, 12, 13, 17, *range(19, 29), 31, 32, 33)] == list(range(19))
    assert [value for value in range(34) if labels[value] == 255] == [*range(7), 9, 10, 14, 15, 16, 18, 29, 30]
    assert 34 not in labels
    assert (data.classes[0], data.classes[18]) == ("road", "bicycle")
    assert data.palette[13] == (0, 0, 142)


def test_an_unknown_label_id_is_named(root, one_line):
    path = root / "gtFine" / "val" / "frankfurt" / "frankfurt_000000_000019_gtFine_labelIds.png"
    save_mask(path, np.full((32, 64), 34, np.uint8))
    with pytest.raises(DataError) as error:
        list(data_of(root).test_dataloader())
    one_line(error, path, "value 34", "0 to 33, 255")


def test_train_id_files_are_read_where_there_are_no_others(root, tmp_path):
    other = write_tiny_cityscapes(tmp_path / "made", train_ids=True)
    for one, same in zip(data_of(root).test_dataloader(), data_of(other).test_dataloader(), strict=True):
        assert all(torch.equal(*pair) for pair in zip(one["target"], same["target"], strict=True))


def test_label_ids_win_over_train_ids(root, tmp_path):
    write_tiny_cityscapes(root, train_ids=True, seed=1)
    assert all("labelIds" in path.name for path in data_of(root).split("test").masks.paths)


def test_each_split_has_its_own_kind(root, tmp_path):
    other = write_tiny_cityscapes(tmp_path / "made", train_ids=True)
    shutil.rmtree(root / "gtFine" / "val")
    shutil.copytree(other / "gtFine" / "val", root / "gtFine" / "val")
    data = data_of(root)
    assert all("labelIds" in path.name for path in data.split("train").masks.paths)
    assert all("labelTrainIds" in path.name for path in data.split("test").masks.paths)
    for one, same in zip(data.test_dataloader(), data_of(other).test_dataloader(), strict=True):
        assert all(torch.equal(*pair) for pair in zip(one["target"], same["target"], strict=True))
    assert set(np.unique(data.split("train").masks[0]).tolist()) <= {*range(19), 255}


def test_whole_cities_are_held_out(root):
    data = data_of(root, val_fraction=0.1)
    assert {name.partition("/")[0] for name in data.names("val")} == {"zurich"}
    assert {name.partition("/")[0] for name in data.names("train")} == {"aachen"}
    assert {name.partition("/")[0] for name in data.names("test")} == {"frankfurt"}
    assert len(data_of(root, val_fraction=0).names("train")) == 6


def test_the_published_test_split_is_for_prediction_alone(root):
    """Its truth is a dummy: nothing but the car that films."""
    data = data_of(root)
    (batch,) = data.predict_dataloader()
    assert data.names("predict") == ["berlin/berlin_000000_000019_leftImg8bit.png"]
    assert batch["size"].tolist() == [[32, 64]]


def test_published_counts_are_required(root, one_line):
    with pytest.raises(DataError) as error:
        data_of(root, verify=True).setup("test")
    one_line(error, root / "leftImg8bit" / "val", "2 pictures", "500", "verify=False")


def test_what_is_missing_is_named_with_the_publishers_page(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        data_of(tmp_path / "nowhere").setup("fit")
    one_line(error, tmp_path / "nowhere" / "leftImg8bit" / "train", "www.cityscapes-dataset.com", "registration")
    path = root / "gtFine" / "train" / "zurich" / "zurich_000001_000019_gtFine_labelIds.png"
    path.unlink()
    with pytest.raises(DataError) as error:
        data_of(root).setup("fit")
    one_line(error, path, "1 of 12 files")

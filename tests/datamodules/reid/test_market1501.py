"""Market-1501 on a small tree in the published layout."""

import numpy as np
import pytest

from blockyard.datamodules.reid.market1501 import FOLDER, Market1501
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


@pytest.fixture
def root(tmp_path):
    return write_tiny_pedestrians(tmp_path, "market1501")


def market(root, **options):
    return Market1501(root, **{"verify": False, "val_identities": 0, "num_workers": 0, **options})


def test_the_protocol(root):
    test = market(root).split("test")
    assert test.protocol == "market1501"
    assert [test.names[row].partition("/")[0] for row in test.query] == ["query"] * 8
    assert {test.names[row].partition("/")[0] for row in test.gallery} == {"bounding_box_test"}
    gallery = test.identities[test.gallery]
    assert (gallery == -1).sum() == 0, "junk is left out"
    assert (gallery == 0).sum() == 3, "distractors stay"
    assert np.bincount(gallery)[5:].tolist() == [4, 4, 4, 4]
    assert set(test.cameras.tolist()) == {0, 5}


def test_a_query_has_its_own_camera_in_the_gallery_for_the_filter_to_remove(root):
    test = market(root).split("test")
    same = (test.identities[test.query][:, None] == test.identities[test.gallery]) & (
        test.cameras[test.query][:, None] == test.cameras[test.gallery]
    )
    assert (same.sum(1) == 2).all()


def test_training_classes_are_the_sorted_identities(root):
    data = market(root)
    train = data.split("train")
    assert data.classes == ["1", "2", "3", "4"]
    assert data.num_classes == 4
    named = [int(name.partition("/")[2][:4]) - 1 for name in train.names]
    assert train.identities.tolist() == named


def test_other_files_are_passed_over(root):
    assert (root / FOLDER / "bounding_box_test" / "Thumbs.db").exists()
    (root / FOLDER / "query" / "._0005_c1s1_000100_00.jpg").write_bytes(b"x")
    assert len(market(root).split("test").query) == 8


def test_counts_must_be_the_published_ones(root, one_line):
    with pytest.raises(DataError) as error:
        market(root, verify=True).split("train")
    one_line(error, root, "16 training pictures, not 12,936", "verify=False")
    with pytest.raises(DataError) as error:
        market(root, verify=True).split("test")
    one_line(error, "19 gallery pictures, not 15,913", "3 junk pictures, not 3,819")


@pytest.mark.filterwarnings("default:.*as published")
def test_other_counts_are_warned_of(root):
    with pytest.warns(UserWarning, match="4 training people, not 751 as published"):
        market(root).split("train")


@pytest.mark.parametrize(
    "name", ["0001_c7s1_000100_01.jpg", "001_c1s1_000100_01.jpg", "-2_c1s1_000100_01.jpg", "me.jpg"]
)
def test_a_malformed_name_is_refused(root, one_line, name):
    path = root / FOLDER / "bounding_box_train" / name
    path.write_bytes(b"")
    with pytest.raises(DataError) as error:
        market(root).split("train")
    one_line(error, path, "0001_c1s1_001051_00.jpg expected")


def test_what_is_missing_is_named(root, tmp_path, one_line):
    with pytest.raises(DataError) as error:
        market(tmp_path / "elsewhere").split("test")
    one_line(error, tmp_path / "elsewhere" / FOLDER / "query", "is missing", "unpack it")


def test_the_folders_may_lie_straight_in_the_root_or_one_deeper(root, tmp_path, one_line):
    names = market(root).split("test").names
    assert market(root / FOLDER).split("test").names == names
    (root / FOLDER).rename(root / "market")
    assert market(root).split("test").names == names
    (root / "market").rename(root / "away")
    (root / FOLDER).mkdir()
    (root / "away").rename(root / FOLDER / FOLDER)
    assert market(root).split("test").names == names
    for name in ("a", "b"):
        (root / "two" / name / "bounding_box_train").mkdir(parents=True)
    with pytest.raises(DataError) as error:
        market(root / "two").split("train")
    one_line(error, root / "two", "a and b both have bounding_box_train")


def test_one_camera_is_not_enough(root, one_line):
    for path in [*root.rglob("*_c6s*.jpg")]:
        path.unlink()
    with pytest.raises(DataError) as error:
        market(root).split("test")
    one_line(error, "all is from camera 1")


def test_a_person_in_training_and_test_is_refused(root, one_line):
    picture = root / FOLDER / "query" / "0005_c1s1_000100_00.jpg"
    (root / FOLDER / "bounding_box_train" / picture.name).write_bytes(picture.read_bytes())
    with pytest.raises(DataError) as error:
        market(root).split("test")
    one_line(error, "Market1501", "1 identities, 5 the first, are in training and in test")

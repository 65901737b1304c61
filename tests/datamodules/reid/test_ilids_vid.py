"""iLIDS-VID on a small tree in the published layout."""

import shutil

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from blockyard.datamodules.reid.ilids_vid import ILIDSVID, LISTS
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")
NUMBERS = [1, 2, 4, 5, 6, 7, 8, 9]


@pytest.fixture
def root(tmp_path):
    return write_tiny_pedestrians(tmp_path, "ilids-vid")


def ilids(root, **options):
    return ILIDSVID(root, **{"verify": False, "val_identities": 0, "num_workers": 0, **options})


def sequences(root, camera):
    return root / "ilids-vid/i-LIDS-VID/sequences" / f"cam{camera}"


@pytest.mark.parametrize("split", range(10))
def test_tables_count_through_the_sorted_folders_and_begin_with_the_test(root, split):
    order = loadmat(root / "ilids-vid" / LISTS)["ls_set"][split]
    data = ilids(root, split=split)
    assert sorted({int(number) for number in data.split("test").identities}) == sorted(
        NUMBERS[place - 1] for place in order[:4]
    )
    assert data.classes == [str(number) for number in sorted(NUMBERS[place - 1] for place in order[4:])]


def test_the_first_camera_is_looked_for_in_the_second(root):
    test = ilids(root).split("test")
    assert test.cameras[test.query].tolist() == [0] * 4
    assert test.cameras[test.gallery].tolist() == [1] * 4
    assert test.identities[test.query].tolist() == test.identities[test.gallery].tolist()


def test_frames_are_sorted_by_number(root):
    folder = sequences(root, 1) / "person001"
    (folder / "cam1_person001_00004.png").rename(folder / "cam1_person001_100000.png")
    frames = ilids(root).tracklet("person001", 0)
    assert [frame.rpartition("_")[2] for frame in frames] == ["00001.png", "00002.png", "00003.png", "100000.png"]


def test_counts_must_be_the_published_ones(root, one_line):
    with pytest.raises(DataError) as error:
        ilids(root, verify=True).split("train")
    one_line(error, "8 people, not 300 as published")


def test_an_empty_tracklet_is_named(root, one_line):
    folder = sequences(root, 2) / "person004"
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(DataError) as error:
        ilids(root).tracklet("person004", 1)
    one_line(error, folder, "empty tracklet")


def test_a_missing_camera_is_named(root, one_line):
    shutil.rmtree(sequences(root, 2) / "person004")
    with pytest.raises(DataError) as error:
        ilids(root).split("train")
    one_line(error, sequences(root, 2), "person004 is missing")
    shutil.rmtree(sequences(root, 2))
    with pytest.raises(DataError) as error:
        ilids(root).split("train")
    one_line(error, sequences(root, 2), "is missing")


def test_malformed_names_are_refused(root, one_line):
    path = sequences(root, 1) / "person004" / "cam2_person004_00001.png"
    path.write_bytes(b"")
    with pytest.raises(DataError) as error:
        ilids(root).tracklet("person004", 0)
    one_line(error, path, "cam1_person004_00001.png expected")
    (sequences(root, 1) / "person4").mkdir()
    with pytest.raises(DataError) as error:
        ilids(root).split("train")
    one_line(error, sequences(root, 1) / "person4", "person001 expected")


@pytest.mark.parametrize(
    "change",
    [lambda table: table + 1, lambda table: table[:9], lambda table: table[:, :7], lambda table: table * 0 + 1],
)
def test_a_table_that_is_not_ten_orders_of_everyone_is_refused(root, one_line, change):
    file = root / "ilids-vid" / LISTS
    savemat(file, {"ls_set": change(loadmat(file)["ls_set"].astype(np.int32))})
    with pytest.raises(DataError) as error:
        ilids(root).split("train")
    one_line(error, file, "10 orders of the numbers 1 to 8 expected")


def test_there_are_ten_splits(root):
    with pytest.raises(ValueError, match="split=10 must be from 0 to 9"):
        ilids(root, split=10)

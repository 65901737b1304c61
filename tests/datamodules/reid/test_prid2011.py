"""PRID-2011 on a small tree in the published layout."""

import json
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from blockyard.datamodules.reid.prid2011 import JSON, MAT, PRID2011
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")
KEPT = [1, 3, 4, 5, 6, 7]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_tiny_pedestrians(tmp_path_factory.mktemp("prid"), "prid2011", people=6)


@pytest.fixture
def root(written, tmp_path):
    return shutil.copytree(written, tmp_path / "data")


def prid(root, **options):
    return PRID2011(root, **{"verify": False, "val_identities": 0, "num_workers": 0, **options})


def people(data):
    return sorted({*map(int, data.classes), *data.split("test").identities.tolist()})


def test_people_with_26_frames_and_namesakes_are_left_out(root):
    shots = root / "prid2011/prid_2011/multi_shot"
    assert len(list((shots / "cam_b/person_0002").iterdir())) == 26
    assert (shots / "cam_a/person_0201").is_dir()
    assert (shots / "cam_b/person_0201").is_dir(), "somebody else of that number"
    assert people(prid(root)) == KEPT


@pytest.mark.parametrize("split", range(10))
def test_the_splits_of_the_json_file(root, split):
    published = json.loads((root / "prid2011" / JSON).read_text())[split]
    data = prid(root, split=split)
    assert [f"person_{int(name):04d}" for name in data.classes] == published["train"]
    test = data.split("test")
    assert [f"person_{number:04d}" for number in test.identities[test.query]] == published["test"]
    assert test.identities[test.gallery].tolist() == test.identities[test.query].tolist()
    assert test.cameras[test.query].tolist() == [0] * 3
    assert test.protocol == "prid2011-178"


def test_without_it_the_table_orders_who_is_long_enough(root):
    (root / "prid2011" / JSON).unlink()
    order = np.array([[6, 2, 1, 5, 4, 3]] * 10, dtype=np.uint8)
    savemat(root / "prid2011" / MAT, {"ls_set": order})
    data = prid(root)
    assert data.classes == ["4", "5", "6"]
    assert sorted(set(data.split("test").identities.tolist())) == [1, 3, 7], "the first half is for testing"
    (root / "prid2011" / MAT).unlink()
    with pytest.raises(DataError, match=rf"{MAT} is missing: one of {JSON}"):
        prid(root).split("train")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[{}]", "a list of splits"),
        ("nothing", "a list of splits"),
        ("[]", "10 splits expected, found 0"),
        (json.dumps([{"train": ["person_0001"], "test": ["person_0002"]}] * 10), "must divide the 6 people"),
    ],
)
def test_a_damaged_json_file_is_refused(root, one_line, content, problem):
    (root / "prid2011" / JSON).write_text(content)
    with pytest.raises(DataError) as error:
        prid(root).split("train")
    one_line(error, root / "prid2011" / JSON, problem)


def test_counts_must_be_the_published_ones(root, one_line):
    with pytest.raises(DataError) as error:
        prid(root, verify=True).split("train")
    one_line(error, "6 people, not 178 as published")


def test_malformed_names_and_missing_cameras_are_named(root, one_line):
    camera = root / "prid2011/prid_2011/multi_shot/cam_a"
    (camera / "person_0001/1.png").write_bytes(b"")
    with pytest.raises(DataError) as error:
        prid(root).split("train")
    one_line(error, camera / "person_0001/1.png", "0001.png expected")
    shutil.rmtree(camera)
    with pytest.raises(DataError) as error:
        prid(root).split("train")
    one_line(error, camera, "is missing")


def test_an_empty_tracklet_is_named(root, one_line):
    folder = root / "prid2011/prid_2011/multi_shot/cam_b/person_0003"
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(DataError) as error:
        prid(root).split("train")
    one_line(error, folder, "empty tracklet")

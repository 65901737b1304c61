"""MARS on a small tree in the published layout."""

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from blockyard.datamodules.reid.mars import MARS
from blockyard.mistakes import DataError
from blockyard.samples.tiny_pedestrians import write_tiny_pedestrians

pytestmark = pytest.mark.filterwarnings("ignore:.*as published")


@pytest.fixture
def root(tmp_path):
    return write_tiny_pedestrians(tmp_path, "mars")


def mars(root, **options):
    return MARS(root, **{"verify": False, "val_identities": 0, "num_workers": 0, **options})


def rewrite(root, name, change):
    """Change a table and write it back."""
    file = next(path for path in (root / "mars/info").glob("*.mat") if name in loadmat(path))
    savemat(file, {name: change(loadmat(file)[name])})
    return file


def matches(split):
    """For each query, how many of its gallery show the same person in another camera."""
    query, gallery = split.query, split.gallery
    same = split.identities[query][:, None] == split.identities[gallery]
    return (same & (split.cameras[query][:, None] != split.cameras[gallery])).sum(1).tolist()


def test_rows_count_from_1_and_hold_their_end(root):
    split = mars(root).split("train")
    assert [path.rpartition("/")[2] for path in split.sightings.frames[0]] == [
        f"0001C1T0001F{frame:03d}.jpg" for frame in (1, 2, 3, 4)
    ]
    files = [path for frames in split.sightings.frames for path in frames]
    assert len(set(files)) == len(files) == len(list((root / "mars/bbox_train").rglob("*.jpg")))
    assert set(split.cameras.tolist()) == {0, 1}


def test_the_official_gallery_holds_the_queries(root):
    test = mars(root).split("test")
    assert test.protocol == "mars-official"
    assert set(test.query.tolist()) < set(test.gallery.tolist())
    assert len(test.gallery) == 13
    assert -1 not in test.identities, "junk is left out"
    assert (test.identities == 0).sum() == 2, "distractors stay"
    assert matches(test) == [2, 2, 2, 2, 1, 1, 0]


def test_without_queries_in_the_gallery_some_have_no_match(root):
    test = mars(root, protocol="no-queries").split("test")
    assert test.protocol == "mars-no-queries"
    assert not set(test.query.tolist()) & set(test.gallery.tolist())
    assert len(test.gallery) == 13 - 7
    assert matches(test) == [1, 1, 1, 1, 0, 0, 0], "person 7 has only queries, person 8 one tracklet"


def test_queries_are_rows_from_1_in_unsigned_numbers(root):
    """Of uint16, 0 - 1 would be 65535."""
    assert loadmat(root / "mars/info/query_IDX.mat")["query_IDX"].dtype == np.uint16
    test = mars(root).split("test")
    assert [(int(test.identities[row]), int(test.cameras[row])) for row in test.query] == [
        (5, 0), (5, 5), (6, 0), (6, 5), (7, 0), (7, 5), (8, 0),
    ]  # fmt: skip
    file = rewrite(root, "query_IDX", lambda table: np.zeros_like(table[:, :1]))
    with pytest.raises(DataError, match=r"from 1 to 15, of tracks_test_info.mat") as error:
        mars(root).split("test")
    assert str(file) in str(error.value)


def test_a_query_that_is_junk_is_refused(root, one_line):
    file = rewrite(root, "query_IDX", lambda table: np.ones_like(table[:, :1]))
    with pytest.raises(DataError) as error:
        mars(root).split("test")
    one_line(error, file, "query 1 shows nobody")


def test_counts_must_be_the_published_ones(root, one_line):
    with pytest.raises(DataError) as error:
        mars(root, verify=True).split("train")
    one_line(error, "16 training tracklets, not 8,298", "not 509,914")
    with pytest.raises(DataError) as error:
        mars(root, verify=True).split("test")
    one_line(error, "15 test tracklets, not 12,180", "7 queries, not 1,980", "not 9,330")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ((5, 4, 1, 1), "empty or beyond"),
        ((0, 4, 1, 1), "empty or beyond"),
        ((1, 9999, 1, 1), "empty or beyond"),
        ((1, 4, 2, 1), "is of identity 2 and camera 1"),
        ((1, 4, 1, 2), "is of identity 1 and camera 2"),
        ((1, 5, 1, 1), "is of identity 1 and camera 1, but it holds"),
    ],
)
def test_a_wrong_tracklet_is_refused(root, one_line, row, problem):
    if problem.endswith("holds"):
        row = (1, len(loadmat(root / "mars/info/tracks_train_info.mat")["track_train_info"]) * 2, 1, 1)
    file = rewrite(root, "track_train_info", lambda table: np.array([row, *table[1:]], dtype=np.int32))
    with pytest.raises(DataError) as error:
        mars(root).split("train")
    one_line(error, file, "tracklet 1", problem)


def test_malformed_names_and_missing_files_are_named(root, one_line):
    file = root / "mars/info/test_name.txt"
    lines = file.read_bytes()
    file.write_bytes(lines.replace(b"00-1C1T0001F001.jpg", b"00-2C1T0001F001.jpg"))
    with pytest.raises(DataError) as error:
        mars(root).split("test")
    one_line(error, file, "line 1", "00-2C1T0001F001.jpg")
    file.write_bytes(lines)
    (root / "mars/bbox_test/00-1/00-1C1T0001F001.jpg").unlink()
    with pytest.raises(DataError) as error:
        mars(root).split("test")
    one_line(error, file, "1 of", "missing", "00-1C1T0001F001.jpg")
    file.unlink()
    with pytest.raises(DataError) as error:
        mars(root).split("test")
    one_line(error, file, "is missing")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"no table", "is damaged"),
        ({"other": np.ones((1, 1))}, "a matrix of numbers called query_IDX expected"),
        ({"query_IDX": {"a": 1}}, "a matrix of numbers called query_IDX expected"),
        ({"query_IDX": np.array([[1.5]])}, "whole numbers"),
        ({"query_IDX": np.array([[np.nan]])}, "whole numbers"),
        ({"query_IDX": np.array([[2**63 + 5]], np.uint64)}, "whole numbers"),
        (None, "is missing"),
    ],
)
def test_a_damaged_table_is_refused(root, one_line, content, problem):
    file = root / "mars/info/query_IDX.mat"
    file.unlink()
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        savemat(file, content)
    with pytest.raises(DataError) as error:
        mars(root).split("test")
    one_line(error, file, problem)


def test_an_unknown_protocol_is_refused(root):
    with pytest.raises(ValueError, match="no protocol 'best'; allowed: official, no-queries"):
        mars(root, protocol="best")

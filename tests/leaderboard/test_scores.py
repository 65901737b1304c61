"""Scores of single samples lie beside the record, and can't be mistaken for another run's."""

import numpy as np
import pytest

from blockyard.leaderboard.scores import read_scores, write_scores

SCORES = {"top1": np.array([1, 0, 1], dtype=np.uint8), "loss": np.array([0.1, 2.5, 0.3], dtype=np.float32)}


def test_what_is_written_is_read_back(tmp_path):
    name, digest = write_scores(SCORES, tmp_path, "0123456789ab")
    found = read_scores(tmp_path / name, digest)
    assert found.keys() == SCORES.keys()
    for key, values in SCORES.items():
        np.testing.assert_array_equal(found[key], values)
        assert found[key].dtype == values.dtype


def test_equal_scores_share_a_file_and_others_do_not(tmp_path):
    one, two = (write_scores(SCORES, tmp_path, "0123456789ab") for _ in range(2))
    other = write_scores(SCORES | {"loss": SCORES["loss"] + 1}, tmp_path, "0123456789ab")
    assert one == two != other
    assert len(list(tmp_path.iterdir())) == 2


def test_one_bit_a_sample_stays_small(tmp_path):
    name, _ = write_scores({"top1": np.ones(10_000, dtype=np.uint8)}, tmp_path, "0123456789ab")
    assert (tmp_path / name).stat().st_size < 1000


def test_damaged_foreign_and_missing_files_are_refused(tmp_path):
    name, digest = write_scores(SCORES, tmp_path, "0123456789ab")
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="digest is not the one in the record"):
        read_scores(path, digest)
    with pytest.raises(ValueError, match=r"no scores: .*No such file"):
        read_scores(tmp_path / "none.npz", digest)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"top1": np.zeros((2, 2))}, "a vector of numbers is needed"),
        ({"top1": np.array([object()])}, "a vector of numbers is needed"),
        ({"top1": np.zeros(2), "loss": np.zeros(3)}, "differ in length"),
    ],
)
def test_what_is_not_a_number_a_sample_is_refused(tmp_path, scores, message):
    with pytest.raises(ValueError, match=message):
        write_scores(scores, tmp_path, "0123456789ab")

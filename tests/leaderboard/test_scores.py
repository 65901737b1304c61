"""Scores of single samples lie beside the record, and can't be mistaken for another run's."""

import hashlib
import io
import zipfile
from contextlib import suppress

import numpy as np
import pytest

from blockyard.leaderboard.scores import LARGEST, arrays, impossible, read_scores, write_scores

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
    with pytest.raises(ValueError, match=r"no scores: .*there is no such file"):
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


def crafted(*members: tuple[str, bytes]) -> tuple[bytes, str]:
    """A zip file and its digest."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue(), hashlib.sha256(buffer.getvalue()).hexdigest()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=True)
    return buffer.getvalue()


def with_header(shape: str) -> bytes:
    """An array that holds two numbers and says that it has another shape."""
    return npy(np.zeros(2)).replace(b"(2,), }" + b" " * len(shape), f"{shape}, }}".encode() + b"    ")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([], "its arrays need names of their own"),
        ([("top1.npy", npy(np.array([{}])))], "no vector of numbers: object"),
        ([("top1.npy", npy(np.zeros((2, 2))))], "no vector of numbers: float64"),
        ([("top1.npy", with_header("(9999999999999,)"))], r"no vector of numbers: float64 \(9999999999999,\)"),
        ([("top1.npy", b"\x93NUMPY\x09\x00")], "unknown version"),
        ([("top1.npy", b"import os")], "magic string"),
        ([("top1.npy", npy(np.zeros(2))[:-1])], "buffer is smaller"),
    ],
)
def test_a_file_made_to_hurt_is_refused(members, message):
    content, digest = crafted(*members)
    with pytest.raises(ValueError, match=message) as refusal:
        arrays(content, digest)
    assert str(refusal.value).isprintable()


def test_a_file_that_unpacks_to_more_than_fits_is_not_unpacked():
    content, _ = crafted(("top1.npy", bytes(LARGEST // 8)))
    (entry,) = zipfile.ZipFile(io.BytesIO(content)).infolist()
    size, larger = entry.file_size.to_bytes(4, "little"), (LARGEST + 1).to_bytes(4, "little")
    assert len(content) < LARGEST / 1000
    content = content.replace(size, larger)  # what a file of that size says, without the time to make it
    with pytest.raises(ValueError, match="its arrays are larger than 256 MiB"):
        arrays(content, hashlib.sha256(content).hexdigest())


def test_damaged_content_of_the_right_digest_is_refused():
    content, _ = crafted(("top1.npy", npy(np.arange(1000.0))))
    for position in range(0, len(content), 7):
        broken = bytearray(content)
        broken[position] ^= 0xFF
        with suppress(ValueError):  # anything else would end the program
            arrays(bytes(broken), hashlib.sha256(broken).hexdigest())


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"top1": np.array([0.5, 1.0])}, "'top1' has 2 values; the record says 3 test samples"),
        ({"top1": np.array([0, 2, 1])}, "'top1' holds 2; allowed are fractions from 0 to 1"),
        ({"loss": np.array([0, np.nan, 1])}, "'loss' holds nan"),
        ({"loss": np.array([0, 7.5, 1]), "top1": np.array([True, False, True])}, None),
    ],
)
def test_impossible_scores_are_found(scores, message):
    assert impossible(scores, 3) == message

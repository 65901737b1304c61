"""A checkpoint is replaced in one step, beside its place."""

import resource
from pickle import UnpicklingError

import pytest
import torch

from blockyard.mistakes import mistake_in
from blockyard.runs.checkpoint_io import AtomicCheckpointIO


def test_writes_and_replaces(tmp_path):
    place = tmp_path / "checkpoints" / "last.ckpt"
    for number in (1, 2):
        AtomicCheckpointIO().save_checkpoint({"number": number}, place)
        assert torch.load(place, weights_only=True) == {"number": number}
    assert list(place.parent.iterdir()) == [place]


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path):
    place = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"number": 1}, place)
    with pytest.raises(AttributeError, match=r"local object|local function"):
        AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(1000), "bad": lambda: None}, place)
    assert torch.load(place, weights_only=True) == {"number": 1}
    assert list(tmp_path.iterdir()) == [place]


def test_never_leaves_its_file_system(tmp_path, monkeypatch):
    """The temporary file is a neighbour, so that renaming it is one step on any file system."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").is_file()


def test_reads_plain_values_whatever_it_is_told(tmp_path):
    plain, other = tmp_path / "plain.ckpt", tmp_path / "other.ckpt"
    AtomicCheckpointIO().save_checkpoint({"number": 1}, plain)
    torch.save({"path": tmp_path}, other)
    assert AtomicCheckpointIO().load_checkpoint(plain, weights_only=False) == {"number": 1}
    with pytest.raises(UnpicklingError, match="Weights only"):
        AtomicCheckpointIO().load_checkpoint(other, weights_only=False)


def test_a_full_disk_leaves_the_checkpoint_before_it_and_says_so(tmp_path):
    place = tmp_path / "last.ckpt"
    AtomicCheckpointIO().save_checkpoint({"number": 1}, place)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match=r"last\.ckpt") as caught:
            AtomicCheckpointIO().save_checkpoint({"weights": torch.ones(1_000_000)}, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(mistake_in(caught.value)).startswith(
        f"{place}: File too large; the checkpoint that is there stays whole"
    )
    assert torch.load(place, weights_only=True) == {"number": 1}
    assert list(tmp_path.iterdir()) == [place]

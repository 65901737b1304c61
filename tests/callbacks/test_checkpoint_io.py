"""A checkpoint is replaced in one step, beside its place."""

import pytest
import torch

from blockyard.callbacks import AtomicCheckpointIO


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

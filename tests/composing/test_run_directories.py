"""Which checkpoint a path means, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from blockyard.composing.run_directories import checkpoint_at, find_checkpoint, no_checkpoint


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    return tmp_path


@pytest.mark.parametrize("kind", ["best", "last"])
def test_a_folder_means_a_checkpoint_in_it(run: Path, kind: str):
    file = run / "checkpoints" / f"{kind}.ckpt"
    assert checkpoint_at(run, kind) == checkpoint_at(run / "checkpoints", kind) == file


@pytest.mark.parametrize("name", ["checkpoints/last.ckpt", "checkpoints/gone.ckpt", "gone"])
def test_anything_else_means_itself(run: Path, name: str):
    assert checkpoint_at(run / name) == run / name


def test_what_lies_beside_a_missing_one_is_named(run: Path):
    assert str(no_checkpoint(run / "checkpoints" / "best.ckpt")).endswith(f"; {run}/checkpoints has last.ckpt")
    with pytest.raises(ValueError, match=r"best\.ckpt; .*checkpoints has last\.ckpt$"):
        find_checkpoint("test", "best", run)
    with pytest.raises(ValueError, match=r"last\.ckpt: train this run first"):
        find_checkpoint("test", "last", run / "other")

"""The data modules of walkers."""

import numpy as np
import pytest

from blockyard.samples.modules.walkers import Walkers, WalkersVideo

pytest.importorskip("pybullet")
FEW = {"identities": 8, "test_identities": 4, "size": (64, 32), "num_workers": 0, "batch_size": 4, "instances": 2}


def test_pictures_are_filmed_on_first_use(tmp_path, recwarn):
    data = Walkers(tmp_path / "walkers", val_identities=0, **FEW)
    assert data.num_classes == 4
    assert len(data.split("train")) == 4 * 2 * 8
    test = data.split("test")
    assert test.identities[test.query].tolist() == [5, 5, 6, 6, 7, 7, 8, 8]
    assert (test.identities == 0).sum() == 8, "a stranger, in one camera"
    assert next(iter(data.train_dataloader()))["input"].shape == (4, 3, 64, 32)
    assert not [warning for warning in recwarn if "published" in str(warning.message)]


def test_tracklets_are_filmed_on_first_use(tmp_path):
    data = WalkersVideo(tmp_path / "walkers", val_identities=0, frames=4, stride=2, **FEW)
    test = data.split("test")
    lengths = [len(frames) for frames in test.sightings.frames]
    assert min(lengths) >= 12
    assert max(lengths) <= 20
    assert len(test.query) == 4 * 2
    same = test.identities[test.query][:, None] == test.identities[test.gallery]
    other = test.cameras[test.query][:, None] != test.cameras[test.gallery]
    assert ((same & other).sum(1) == 2).all()
    assert next(iter(data.test_dataloader()))["input"].shape == (4, 3, 4, 64, 32)


def test_what_was_filmed_is_not_filmed_again(tmp_path):
    data = Walkers(tmp_path, **FEW)
    data.prepare_data()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    data.setup("fit")
    assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert np.unique(data.split("val").identities).tolist() == [3, 4]

"""The data module of motions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from blockyard.samples.modules import Motions
from blockyard.samples.motions import JOINTS

pytest.importorskip("pybullet")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> str:
    return str(tmp_path_factory.mktemp("motions") / "set")


def motions(root, **options):
    return Motions(root, subjects=8, takes=1, batch_size=16, num_workers=0, seed=0, **options)


def test_nothing_is_written_to_know_classes_and_channels(tmp_path):
    data = motions(str(tmp_path / "set"))
    assert (data.num_classes, data.input_shape) == (13, (12, 64))
    assert motions(str(tmp_path / "set"), channels=["neck", "chest"], window=1.0).input_shape == (2, 25)
    assert not list(tmp_path.iterdir())


def test_it_is_written_on_first_use_and_split_by_person(root):
    data = motions(root)
    data.setup("fit")
    people = {name: {file.partition("_")[0] for file in data.names(name)} for name in ("train", "val", "test")}
    assert [len(people[name]) for name in ("train", "val", "test")] == [5, 1, 2]
    assert len(set.union(*people.values())) == 8
    assert sum(data.class_counts()) == len(data.split("train")) > len(data.names("train"))
    assert data.layout.names == tuple(JOINTS)
    batch = next(iter(data.train_dataloader()))
    assert batch["input"].shape == (16, 12, 64)
    whole = torch.cat([block["input"] for block in data.plain_dataloader("train")])
    np.testing.assert_allclose(whole.mean((0, 2)), 0, atol=0.1)  # of windows, which overlap at the ends
    np.testing.assert_allclose(whole.std((0, 2)), 1, atol=0.1)


def test_every_fold_tests_on_another_person(root):
    tested = {motions(root, fold=fold).names("test")[0].partition("_")[0] for fold in range(1, 9)}
    assert tested == {f"recordings/person{k:03d}" for k in range(1, 9)}

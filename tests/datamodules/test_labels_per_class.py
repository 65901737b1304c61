"""A few labels of each class, drawn by the seed."""

from __future__ import annotations

import numpy as np
import pytest

from blockyard.datamodules import CIFAR10, ESC50, AudioCSV, Digits, ImageFolder, VideoFolder
from blockyard.leaderboard.identity import identity
from blockyard.samples.modules import HumanActions


def data(labels: int | None = 3, seed: int = 0, **options) -> Digits:
    options = {"augment": False, "batch_size": 10, **options}
    return Digits("8x8", seed=seed, labels_per_class=labels, **options)


def drawn(module: Digits, epoch: int = 0) -> list[int]:
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return [index for batch in loader for index in batch["index"].tolist()]


def test_so_many_of_each_class_are_trained_on_in_every_epoch():
    module = data()
    epochs = [drawn(module, epoch) for epoch in (0, 1)]
    assert np.bincount(module.split("train").targets[epochs[0]]).tolist() == [3] * 10
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])


def test_other_seeds_draw_others_and_fewer_are_a_part_of_more():
    of = {(labels, seed): set(drawn(data(labels, seed))) for labels in (3, 5) for seed in (0, 1)}
    assert of[3, 0] < of[5, 0]
    assert of[3, 1] < of[5, 1]
    assert of[3, 0] != of[3, 1]


def test_two_processes_divide_the_same_order():
    parts = []
    for rank in (0, 1):
        module = data()
        module._place = lambda rank=rank: (rank, 2)
        parts.append(np.reshape(drawn(module), (-1, 5)))
    assert np.concatenate(parts, axis=1).ravel().tolist() == drawn(data())


def test_a_training_goes_on_with_the_samples_that_it_began_with():
    state = {"epoch": 1, "batch": 2, **data(seed=4)._order(30)}
    resumed, whole = data(seed=None), data(seed=4)
    resumed._resumed = dict(state)
    assert drawn(resumed, 1) == drawn(whole, 1)[20:]
    other = data(labels=4, seed=4)
    other._resumed = dict(state)
    with pytest.raises(ValueError, match="samples=30 then and 40 now"):
        other.train_dataloader()


def test_classes_are_counted_and_balanced_among_them():
    assert data().class_counts() == [3] * 10
    module = data(class_sampling="balanced")
    assert np.bincount(module.split("train").targets[drawn(module)]).tolist() == [3] * 10
    assert set(drawn(module)) <= set(drawn(data()))


def test_everything_else_is_whole():
    few, all_of_it = data(), data(None)
    assert few.fingerprints("train", "val", "test") == all_of_it.fingerprints("train", "val", "test")
    for read in (Digits.val_dataloader, Digits.test_dataloader):
        first, second = ([batch["index"].tolist() for batch in read(module)] for module in (few, all_of_it))
        assert first == second


def test_features_are_read_of_the_same_samples():
    found = [index for batch in data().plain_dataloader("train") for index in batch["index"].tolist()]
    assert found == sorted(drawn(data()))


@pytest.mark.parametrize(("labels", "said"), [(0, "labels_per_class=0 must be at least 1"), (-1, "must be at least 1")])
def test_a_number_out_of_range_is_refused(labels, said):
    with pytest.raises(ValueError, match=said):
        data(labels)


def test_a_class_that_has_not_as_many_is_named_before_training(one_line):
    module = data(1000)
    with pytest.raises(ValueError, match=r"class 0 has \d+ training samples: labels_per_class=1000 is more") as refusal:
        module.setup("fit")
    one_line(refusal)
    module.setup("test")


def test_several_labels_a_sample_are_refused(monkeypatch):
    split = data(None).split("train")
    split.targets = np.ones((len(split.targets), 10), np.float32)
    monkeypatch.setattr(Digits, "load", lambda self, name: split)
    with pytest.raises(ValueError, match="where a sample may have several labels"):
        data().setup("fit")


@pytest.mark.parametrize("kind", [CIFAR10, Digits, ESC50, HumanActions, AudioCSV, ImageFolder, VideoFolder])
def test_data_of_every_kind_have_it_and_keep_it(kind):
    options = {Digits: {}, AudioCSV: {"manifest": "a.csv"}}.get(kind, {"root": "nowhere"})
    assert kind(**options, labels_per_class=5).hparams["labels_per_class"] == 5


def test_it_is_an_experiment_of_its_own():
    def of(**options):
        section = {"class_path": "Digits", "init_args": options}
        return identity({"seed_everything": 0, "model": {"class_path": "M"}, "data": section}).experiment

    assert of() == of(labels_per_class=None) != of(labels_per_class=10)

"""Drawing every class equally often, by the loader contract."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules import CIFAR10, ESC50, AudioCSV, Digits, ImageFolder, VideoFolder
from blockyard.datamodules.labelled import ClassBalancedSampler
from blockyard.datamodules.loading import TrainSampler
from blockyard.leaderboard.identity import identity
from blockyard.samples.modules import HumanActions

COUNTS = [40, 1, 7, 2]
TARGETS = np.random.default_rng(0).permutation(np.repeat(np.arange(4), COUNTS))


def drawn(sampler: TrainSampler, epoch: int = 0) -> list[int]:
    sampler.set_epoch(epoch)
    return [index for _, index in sampler]


def sampler(batch_size=8, targets=TARGETS, **place) -> ClassBalancedSampler:
    return ClassBalancedSampler(targets, batch_size, 3, **place)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 12), st.integers(0, 3))
def test_up_to_any_place_classes_differ_by_one_draw_and_so_do_the_samples_of_a_class(counts, batch_size, epoch):
    targets = np.repeat(np.arange(len(counts)), counts)
    batch_size = min(batch_size, len(targets))
    order = drawn(sampler(batch_size, targets), epoch)
    assert len(order) == len(targets) // batch_size * batch_size
    of_class = np.eye(len(counts), dtype=int)[targets[order]].cumsum(0)
    assert (np.ptp(of_class, axis=1) <= 1).all()
    of_sample = np.bincount(order, minlength=len(targets))
    assert all(np.ptp(of_sample[targets == label]) <= 1 for label in range(len(counts)))


def test_an_epoch_is_as_long_as_one_that_draws_every_sample_once():
    assert len(sampler()) == len(TrainSampler(50, 8, 3)) == len(drawn(sampler())) == 48
    assert np.bincount(TARGETS[drawn(sampler())]).tolist() == [12, 12, 12, 12]


def test_epochs_and_seeds_differ_and_repeat():
    orders = [tuple(drawn(sampler(), epoch)) for epoch in (0, 1, 2)]
    assert len({*orders, tuple(drawn(ClassBalancedSampler(TARGETS, 8, 4)))}) == 4
    assert tuple(drawn(sampler(), 1)) == orders[1]
    seen = {index for epoch in range(20) for index in drawn(sampler(), epoch)}
    assert seen == set(range(50)), "over the epochs, samples of the large class take turns too"


@pytest.mark.parametrize("world", [2, 4])
def test_the_ranks_divide_one_order(world):
    ranks = [np.reshape(drawn(sampler(rank=rank, world=world), 2), (-1, 8 // world)) for rank in range(world)]
    assert np.concatenate(ranks, axis=1).ravel().tolist() == drawn(sampler(), 2)


@pytest.mark.parametrize("start", [0, 1, 5])
def test_from_the_middle_the_order_goes_on(start):
    resumed = sampler(epoch=2, start=start)
    whole = drawn(sampler(), 2)
    assert drawn(resumed, 2) == whole[start * 8 :]
    assert drawn(resumed, 3) == drawn(sampler(), 3)


def test_labels_with_gaps_are_drawn_alike():
    order = drawn(sampler(2, np.array([5, 5, 5, 9])))
    assert sorted(np.array([5, 5, 5, 9])[order].tolist()) == [5, 5, 9, 9]


class Few(Digits):
    """Fifty digits of four classes."""

    def __init__(self, **options):
        super().__init__("8x8", augment=False, batch_size=8, seed=0, **options)

    def load(self, split):
        found = super().load(split)
        rows = [np.flatnonzero(found.targets == label)[:count] for label, count in enumerate(COUNTS)]
        rows = np.concatenate(rows)
        found.images, found.targets, found.names = found.images[rows], found.targets[rows], found.names[:50]
        return found

    @property
    def classes(self):
        return [str(digit) for digit in range(4)]


class TestDataModule:
    def test_batches_hold_all_classes_alike(self):
        loader = Few(class_sampling="balanced").train_dataloader()
        batches = [np.bincount(batch["target"], minlength=4).tolist() for batch in loader]
        assert batches == [[2, 2, 2, 2]] * 6

    def test_evaluation_and_other_readings_are_as_before(self):
        for read in (Digits.val_dataloader, Digits.test_dataloader, lambda data: data.plain_dataloader("train")):
            with_it, without = (
                [batch["index"].tolist() for batch in read(Few(**options))]
                for options in ({"class_sampling": "balanced"}, {})
            )
            assert with_it == without

    def test_counts(self):
        assert Few().class_counts() == COUNTS

    def test_a_class_without_a_sample_is_named_before_training(self):
        class Fewer(Few):
            @property
            def classes(self):
                return ["0", "1", "2", "3", "four", "five"]

        with pytest.raises(ValueError, match="class four and 1 more: no training sample"):
            Fewer(class_sampling="balanced").setup("fit")
        Fewer(class_sampling="balanced").setup("test")
        Fewer().setup("fit")

    def test_a_checkpoint_in_mid_epoch_can_t_go_on_with_other_draws(self):
        states = [
            {"epoch": 0, "batch": 3, **Few(**options)._order(50)} for options in ({"class_sampling": "balanced"}, {})
        ]
        for state, data in zip(states, (Few(), Few(class_sampling="balanced")), strict=True):
            data._resumed = state
            with pytest.raises(ValueError, match=r"middle of an epoch, which can't go on: balanced=[01] then and"):
                data._start(50)

    def test_several_labels_a_sample_are_refused(self, monkeypatch):
        split = Few().split("train")
        split.targets = np.ones((50, 4), np.float32)
        monkeypatch.setattr(Few, "load", lambda self, name: split)
        with pytest.raises(ValueError, match="can't be balanced where a sample may have several labels"):
            Few(class_sampling="balanced").setup("fit")

    def test_another_word_is_refused(self):
        with pytest.raises(ValueError, match="class_sampling='even' must be balanced or null"):
            Few(class_sampling="even")

    @pytest.mark.parametrize("kind", [CIFAR10, Digits, ESC50, HumanActions, AudioCSV, ImageFolder, VideoFolder])
    def test_data_of_every_kind_have_it_and_keep_it(self, kind):
        options = {Digits: {}, AudioCSV: {"manifest": "a.csv"}}.get(kind, {"root": "nowhere"})
        assert kind(**options, class_sampling="balanced").hparams["class_sampling"] == "balanced"

    def test_it_is_an_experiment_of_its_own(self):
        def of(**options):
            data = {"class_path": "Digits", "init_args": options}
            return identity({"seed_everything": 0, "model": {"class_path": "M"}, "data": data}).experiment

        assert of() == of(class_sampling=None) != of(class_sampling="balanced")

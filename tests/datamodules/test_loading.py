"""The loader contract: randomness belongs to the sample."""

import random

import albumentations as A
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from blockyard.datamodules.loading import EvaluationSampler, SeededSplit, Split, TrainSampler, make_loader


class Noise(Split):
    """Draws from every generator a reader or a transform might use."""

    def __init__(self, size=24):
        self.size = size
        self.names = [str(index) for index in range(size)]
        self.transform = A.Compose([A.RandomBrightnessContrast(p=1.0), A.GaussNoise(p=1.0), A.HorizontalFlip(p=0.5)])

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        image = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
        draws = [random.random(), np.random.rand(), torch.rand(()).item()]  # noqa: NPY002
        return {"input": self.transform(image=image)["image"], "draws": torch.tensor(draws)}


class Plain(Noise):
    def __init__(self, size):
        super().__init__(size)
        self.transform = None

    def __getitem__(self, index):
        return {"input": torch.zeros(1, 2, 2)}


def loader(workers=0, seed=0, batch_size=4, **position):
    split = SeededSplit(Noise(), seed)
    return make_loader(split, TrainSampler(len(split), batch_size, seed, **position), batch_size, workers)


def epochs(loader: DataLoader, count=2):
    """What an epoch looks like, sample by sample: {index: (pixels, draws)}."""
    seen = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        seen.append({})
        for batch in loader:
            rows = zip(batch["index"].tolist(), batch["input"], batch["draws"], strict=True)
            seen[-1] |= {index: (*pixels.ravel().tolist(), *draws.tolist()) for index, pixels, draws in rows}
    return seen


def test_samples_and_epochs_differ():
    first, second = epochs(loader())
    assert len(set(first.values()) | set(second.values())) == 2 * 24
    draws = torch.tensor([sample[-3:] for sample in (first | {-1 - i: s for i, s in second.items()}).values()])
    assert all(len(set(column.tolist())) == 48 for column in draws.T), "each of the three generators moves"


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_change_nothing(workers):
    """Workers persist over epochs and must hear of the new one."""
    assert epochs(loader(workers)) == epochs(loader(0))


def test_the_seed_decides():
    assert epochs(loader(seed=1)) == epochs(loader(seed=1))
    assert epochs(loader(seed=1))[0] != epochs(loader(seed=2))[0]


def test_transforms_of_one_pipeline_are_independent():
    """albumentations' own seeding gives all transforms one stream: they would agree in every sample."""

    class Flips(Noise):
        def __init__(self):
            super().__init__(200)
            self.transform = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])

        def __getitem__(self, index):
            corner = np.pad(np.ones((1, 1), dtype=np.uint8), (0, 1))
            return {"input": self.transform(image=corner)["image"]}

    flips = SeededSplit(Flips(), 0)
    corners = [int(flips[0, index]["input"].argmax()) for index in range(200)]
    # Four corners, 50 of each expected; 30 is more than three standard deviations (6.1) below.
    assert min(np.bincount(corners, minlength=4)) > 30


@pytest.mark.parametrize("workers", [0, 2])
def test_loading_leaves_the_main_generators_alone(workers):
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    untouched = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    epochs(loader(workers), 1)
    assert torch.equal(torch.get_rng_state(), untouched[0])
    assert random.getstate() == untouched[1]
    assert np.random.get_state()[1].tolist() == untouched[2]  # noqa: NPY002


def test_a_plain_index_means_epoch_0():
    split = SeededSplit(Noise(), 0)
    assert torch.equal(split[5]["draws"], split[0, 5]["draws"])


def global_batches(world, **position):
    ranks = [TrainSampler(50, 8, seed=3, rank=rank, world=world, **position) for rank in range(world)]
    local = [np.array([index for _, index in sampler]).reshape(-1, 8 // world) for sampler in ranks]
    return np.concatenate(local, axis=1).tolist()


@pytest.mark.parametrize("world", [2, 4])
def test_global_batches_do_not_depend_on_the_number_of_ranks(world):
    assert global_batches(world, epoch=2) == global_batches(1, epoch=2)


def test_an_epoch_is_a_permutation_that_changes():
    first, second = (np.ravel(global_batches(2, epoch=epoch)).tolist() for epoch in (0, 1))
    assert len(set(first)) == len(first) == 48, "the last two of 50 do not fill a batch of 8"
    assert first != second
    assert first != sorted(first)


def test_starting_late_leaves_out_exactly_the_first_batches():
    whole = global_batches(2, epoch=1)
    for start in range(len(whole) + 1):
        assert global_batches(2, epoch=1, start=start) == whole[start:]


def test_only_the_resumed_epoch_starts_late():
    sampler = TrainSampler(50, 8, seed=3, epoch=1, start=4)
    sampler.set_epoch(1)
    assert len(list(sampler)) == 16
    assert len(sampler) == 48, "Lightning counts the batches left out as done"
    sampler.set_epoch(2)
    assert len(list(sampler)) == 48


def test_batches_that_can_not_be_dealt_out_are_refused():
    with pytest.raises(ValueError, match=r"batch_size=10 is the global batch: .* divisible by the 4 processes"):
        TrainSampler(50, 10, seed=0, world=4)
    with pytest.raises(ValueError, match="batch_size=64 is larger than the training split of 50 samples"):
        TrainSampler(50, 64, seed=0)


@given(samples=st.integers(1, 60), world=st.integers(1, 9), batch_size=st.integers(1, 7))
def test_evaluation_sees_every_sample_once_in_equally_many_batches(samples, world, batch_size):
    split = SeededSplit(Plain(samples), 0)
    loaders = [make_loader(split, EvaluationSampler(samples, rank, world), batch_size, 0) for rank in range(world)]
    batches = [[batch["index"].tolist() for batch in loader] for loader in loaders]
    seen = [[index for batch in rank for index in batch] for rank in batches]
    assert seen == [list(range(rank, samples, world)) for rank in range(world)]
    assert {len(rank) for rank in batches} == {len(loaders[0])}


def test_a_rank_without_a_sample_gets_an_empty_batch_like_any_other():
    split = SeededSplit(Plain(2), 0)
    (batch,) = make_loader(split, EvaluationSampler(2, rank=2, world=3), 4, 0)
    assert batch["input"].shape == (0, 1, 2, 2)
    assert batch["index"].dtype == torch.int64


class TestItemsOfASample:
    def test_each_has_as_many_views(self):
        split = Plain(24)
        split.views = 3
        assert [split.sample_of(item) for item in (0, 2, 3, 23)] == [0, 0, 1, 7]
        assert split.items_of(7) == range(21, 24)

    @pytest.mark.parametrize("kind", [list, np.array])
    def test_or_some_have_more(self, kind):
        split = Plain(6)
        split.owner = kind([0, 1, 1, 1, 2, 2])
        assert [split.sample_of(item) for item in range(6)] == [0, 1, 1, 1, 2, 2]
        assert [split.items_of(position) for position in range(3)] == [range(1), range(1, 4), range(4, 6)]

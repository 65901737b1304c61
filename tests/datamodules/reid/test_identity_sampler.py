"""Batches of P identities with K instances: what losses that compare samples rely on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules.reid.identity_sampler import IdentitySampler, take_turns

SIZES = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
IDENTITIES = np.random.default_rng(0).permutation(np.repeat(np.arange(10), SIZES))


def global_batches(world=1, instances=4, batch_size=16, **position):
    ranks = [
        IdentitySampler(IDENTITIES, instances, batch_size, seed=3, rank=rank, world=world, **position)
        for rank in range(world)
    ]
    local = [np.array([index for _, index in sampler]).reshape(-1, batch_size // world) for sampler in ranks]
    return np.concatenate(local, axis=1).tolist()


@pytest.mark.parametrize("world", [2, 4])
def test_global_batches_do_not_depend_on_the_number_of_ranks(world):
    assert global_batches(world, epoch=2) == global_batches(1, epoch=2)


@pytest.mark.parametrize("world", [1, 2])
def test_each_rank_gets_whole_identities(world):
    for rank in range(world):
        sampler = IdentitySampler(IDENTITIES, 4, 16, seed=0, rank=rank, world=world)
        for batch in np.array([index for _, index in sampler]).reshape(-1, 16 // world):
            people, counts = np.unique(IDENTITIES[batch], return_counts=True)
            assert len(people) == 4 // world
            assert (counts == 4).all()


def test_an_epoch_shows_everyone_and_changes():
    first, second = np.ravel(global_batches(epoch=0)), np.ravel(global_batches(epoch=1))
    assert set(IDENTITIES[first].tolist()) == set(range(10))
    assert first.tolist() != second.tolist()


def test_an_epoch_is_as_long_as_the_split_or_until_everyone_had_a_turn():
    assert len(global_batches()) == 55 // 16
    many = np.repeat(np.arange(20), 2)  # 40 samples, 2 batches of 16; but 20 people take 5 batches of 4
    assert IdentitySampler(many, 4, 16, seed=0).batches == 5


def test_an_instance_repeats_only_if_the_identity_has_too_few():
    for batch in global_batches(epoch=5):
        for person in set(IDENTITIES[batch].tolist()):
            different = len({index for index in batch if IDENTITIES[index] == person})
            assert different == min(4, SIZES[person])


def test_starting_late_leaves_out_exactly_the_first_batches():
    whole = global_batches(2, epoch=1)
    for start in range(len(whole) + 1):
        assert global_batches(2, epoch=1, start=start) == whole[start:]


def test_only_the_resumed_epoch_starts_late():
    sampler = IdentitySampler(IDENTITIES, 4, 16, seed=3, epoch=1, start=2)
    sampler.set_epoch(1)
    assert len(list(sampler)) == 16
    assert len(sampler) == 48, "Lightning counts the batches left out as done"
    sampler.set_epoch(2)
    assert len(list(sampler)) == 48


def test_what_can_not_be_dealt_out_is_refused():
    with pytest.raises(ValueError, match="batch_size=16 must be a multiple of instances=4 times the 3 processes"):
        IdentitySampler(IDENTITIES, 4, 16, seed=0, world=3)
    with pytest.raises(ValueError, match="takes 12 identities, but the training split has 10"):
        IdentitySampler(IDENTITIES, 4, 48, seed=0)


def test_few_pictures_of_enough_people_fill_a_batch():
    batch = [index for _, index in IdentitySampler(np.repeat(np.arange(4), 2), 4, 16, seed=0)]
    assert sorted(batch) == sorted([*range(8)] * 2)
    (one,) = np.array([index for _, index in IdentitySampler(np.arange(4), 4, 16, seed=0)]).reshape(-1, 16)
    assert np.bincount(one).tolist() == [4] * 4, "one picture a person is there as often as asked for"


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=20),
    instances=st.integers(1, 5),
    people=st.integers(1, 4),
    world=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_every_batch_has_p_identities_with_k_instances(sizes, instances, people, world, seed):
    identities = np.repeat(np.arange(len(sizes)), sizes)
    batch_size = people * world * instances
    if people * world > len(sizes) or batch_size > len(identities):
        return
    seen = []
    for rank in range(world):
        sampler = IdentitySampler(identities, instances, batch_size, seed, rank, world)
        seen.append(np.array([index for _, index in sampler]).reshape(-1, people, instances))
        assert seen[-1].size == len(sampler)
    groups = identities[np.concatenate(seen, axis=1)]
    assert (groups == groups[..., :1]).all()
    assert all(len(set(batch.tolist())) == people * world for batch in groups[..., 0])
    times = np.bincount(groups[..., 0].ravel(), minlength=len(sizes))
    assert times.min() >= 1
    assert times.max() - times.min() <= 1


@given(count=st.integers(1, 12), size=st.integers(1, 6), groups=st.integers(0, 12), seed=st.integers(0, 9))
def test_turns_are_fair_at_any_time(count, size, groups, seed):
    drawn = take_turns(count, size, groups, np.random.default_rng(seed))
    assert drawn.shape == (groups, size)
    for group in drawn.tolist():
        assert len(set(group)) == min(count, size)
    for stop in range(1, groups + 1):
        times = np.bincount(drawn[:stop].ravel(), minlength=count)
        assert times.max() - times.min() <= 1 + (size > count), "within a group of repeats, one may come early"

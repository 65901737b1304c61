"""What mixes without learning: a mean beside the position itself, fixed random sums, nothing."""

from __future__ import annotations

import pytest
import torch

from blockyard.blocks import IdentityMixer, PoolMixer, RandomMixer


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_pool_is_the_mean_of_the_window_inside_the_map_less_the_position(rank: int):
    x = torch.randn(2, 4, *(5, 6, 4)[:rank], dtype=torch.float64)
    y = PoolMixer(4, rank, window=3)(x)
    here = (0,) * rank  # at the corner, two positions of three along each axis are inside
    inside = x[(slice(None), slice(None), *(slice(0, 2),) * rank)].flatten(2).mean(2)
    torch.testing.assert_close(y[(..., *here)], inside - x[(..., *here)])


@pytest.mark.parametrize("window", [3, 7])
def test_a_pool_of_a_clip_shorter_than_its_window_is_that_of_the_frames_there_are(window: int):
    x = torch.randn(2, 4, 2, 5, 6, dtype=torch.float64)
    frames = PoolMixer(4, 2, window=window)(x.mean(2)) + x.mean(2)  # both frames see each other, whatever the window
    torch.testing.assert_close(PoolMixer(4, 3, window=window)(x), frames.unsqueeze(2) - x)
    assert PoolMixer(4, 3)(x.bfloat16()).dtype == torch.bfloat16


def test_a_pool_gives_nothing_of_what_is_constant():
    assert not PoolMixer(4)(torch.full((1, 4, 5, 6), 3.0)).any()


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="window must be odd and positive, got 4"):
        PoolMixer(4, window=4)


@pytest.mark.parametrize("size", [(4, 6), (2, 3), (8, 12), (5, 7)])
def test_random_sums_are_averages_of_positions_for_maps_of_any_size(size: tuple[int, int]):
    mixer = RandomMixer(3, size=(4, 6)).double()
    torch.testing.assert_close(mixer(torch.ones(1, 3, *size).double()), torch.ones(1, 3, *size).double())
    assert mixer(torch.randn(1, 3, *size).double()).shape == (1, 3, *size)


def test_random_sums_are_the_matrix_times_the_positions():
    mixer, x = RandomMixer(3, size=(4, 6)).double(), torch.randn(2, 3, 4, 6, dtype=torch.float64)
    torch.testing.assert_close(mixer(x).flatten(2), torch.einsum("nm,bcm->bcn", mixer.matrix, x.flatten(2)))
    assert not list(mixer.parameters())
    assert mixer.state_dict()["matrix"].shape == (24, 24)


def test_the_same_map_enlarged_by_whole_numbers_gives_the_same_map_enlarged():
    mixer, x = RandomMixer(3, size=(2, 3)).double(), torch.randn(1, 3, 2, 3, dtype=torch.float64)
    twice = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(mixer(twice)[..., ::2, ::2], mixer(x))


def test_a_size_of_another_rank_is_refused():
    with pytest.raises(ValueError, match="size must be 2 positive numbers"):
        RandomMixer(3, size=(4,))


def test_the_identity_is_another_tensor():
    x = torch.randn(1, 3, 4, 4)
    y = IdentityMixer(3)(x)
    assert torch.equal(y, x)
    assert y.data_ptr() != x.data_ptr()

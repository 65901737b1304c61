"""MLPs along the axes, on maps of the size that they were made for and of others."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blockyard.blocks import RaftMixer
from blockyard.blocks.mixers.raft import interpolation

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
SIZE = (4, 6, 5)


def drawn(rank: int, **options) -> RaftMixer:
    return RaftMixer(12, rank, **{"size": SIZE[:rank], "raft": 3} | options).double()


def draw(*size: int) -> torch.Tensor:
    return torch.randn(2, 12, *size, dtype=torch.float64)


@RANKS
def test_along_each_axis_in_turn_it_is_an_mlp_of_each_raft(rank: int):
    block, x = drawn(rank), draw(*SIZE[:rank])
    expected = x
    for axis, mlp in enumerate(block.mlps):
        mixed = torch.empty_like(expected)
        lines, into = expected.movedim(2 + axis, -1), mixed.movedim(2 + axis, -1)
        for first in range(4):
            raft = [first, first + 4, first + 8]
            together = torch.cat([lines[:, channel] for channel in raft], -1)
            for channel, part in zip(raft, mlp.fc2(F.gelu(mlp.fc1(together))).chunk(3, -1), strict=True):
                into[:, channel] = part
        expected = mixed
    torch.testing.assert_close(block(x), expected)


@RANKS
def test_it_commutes_with_permutations_of_the_axes_that_it_does_not_mix(rank: int):
    for axis in range(rank):
        block, x = drawn(rank, axes=[axis]), draw(*SIZE[:rank])
        for other in range(rank):
            order = torch.randperm(SIZE[other])
            found, expected = (m.index_select(2 + other, order) for m in (block(x), x))
            assert torch.allclose(block(expected), found) == (other != axis)


@pytest.mark.parametrize("length", [1, 3, 8, 12, 31])
def test_resized_weights_mix_as_if_lines_were_interpolated_there_and_back(length: int):
    block, x = drawn(1), draw(length)
    there, back = (interpolation(*sizes, x) for sizes in ((length, 4), (4, length)))
    torch.testing.assert_close(block(x), block(x @ there.t()) @ back.t())


@RANKS
def test_a_map_that_is_the_same_everywhere_is_so_at_any_size(rank: int):
    """Where weights are the same for all positions."""
    block = drawn(rank)
    for mlp in block.mlps:
        for weight in (mlp.fc1.weight, mlp.fc2.weight.t(), mlp.fc2.bias[None]):
            per_raft = weight.detach().unflatten(1, (3, -1))
            per_raft.copy_(per_raft[..., :1].clone().expand_as(per_raft))
    same = draw(*(1,) * rank)
    at_home = block(same.expand(-1, -1, *SIZE[:rank]))
    elsewhere = block(same.expand(-1, -1, *(7, 3, 4)[:rank]))
    torch.testing.assert_close(elsewhere, at_home[(..., *(slice(1),) * rank)].expand_as(elsewhere))


@pytest.mark.parametrize("before", [1, 4, 7])
def test_more_positions_are_interpolated_as_torch_does(before: int):
    lines = torch.randn(2, 3, before, dtype=torch.float64)
    for after in (before, before + 3, 4 * before):
        found = lines @ interpolation(before, after, lines).t()
        torch.testing.assert_close(found, F.interpolate(lines, after, mode="linear"))


def test_fewer_positions_are_means_in_which_each_counts():
    picture = torch.randn(1, 2, 3, 17, dtype=torch.float64)
    smaller = F.interpolate(picture, (3, 5), mode="bilinear", antialias=True)
    weights = interpolation(17, 5, picture)
    torch.testing.assert_close(picture @ weights.t(), smaller)
    assert weights.sum(0).all()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"raft": 5}, "12 channels are not divisible by raft=5"),
        ({"axes": [2]}, r"axes must be some of 0 to 1, got \[2\]"),
        ({"axes": []}, "axes must be some of 0 to 1"),
        ({"size": (3,)}, "size must be 2 positive numbers"),
        ({"expansion": 0.01}, "expansion=0.01 leaves no hidden value of 12"),
    ],
)
def test_what_makes_no_block_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        drawn(2, **options)

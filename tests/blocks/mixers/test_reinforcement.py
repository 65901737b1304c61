"""What SpaRTAN mixes positions and channels with."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from blockyard.blocks import CMixer, SMixer
from blockyard.blocks.mixers.reinforcement import turned

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])
SIZE = (4, 6, 5)


def draw(rank: int, channels: int = 16) -> torch.Tensor:
    return torch.randn(2, channels, *SIZE[:rank], dtype=torch.float64)


@RANKS
def test_factors_of_modulus_one_keep_the_norm_of_each_pair(rank: int):
    x, angle = draw(rank), torch.rand(8, dtype=torch.float64) * 7
    found = turned(x, torch.stack([angle.cos(), angle.sin()], 1))
    norms = [m.unflatten(1, (8, 2)).norm(dim=2) for m in (found, x)]
    torch.testing.assert_close(*norms)
    assert not torch.allclose(found, x)


def test_factors_multiply_as_complex_numbers():
    x, factors = draw(2), torch.randn(8, 2, dtype=torch.float64)
    pairs = torch.view_as_complex(x.unflatten(1, (8, 2)).movedim(2, -1).contiguous())
    product = pairs * torch.view_as_complex(factors)[:, None, None]
    torch.testing.assert_close(turned(x, factors), torch.view_as_real(product).movedim(-1, 2).flatten(1, 2))


@RANKS
def test_what_is_greatest_in_the_input_picks_what_is_added_to_all_channels(rank: int):
    """One of the first C of the wide ones, as in the published code."""
    block, seen = CMixer(16, rank, expansion=2).double().eval(), []
    block.turn.detach().copy_(torch.tensor([1.0, 0.0]))
    block.conv.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = draw(rank)
    block(x)
    gated = F.gelu(block.gate(x)) * block.value(x)
    flat, picked = gated.flatten(2), x.flatten(2).argmax(1)
    expected = flat + torch.stack([flat[b, picked[b], torch.arange(flat.shape[2])] for b in range(2)])[:, None]
    torch.testing.assert_close(seen[0].flatten(2), expected)


@RANKS
def test_what_differs_from_the_mean_is_made_to_stand_out(rank: int):
    block, x = SMixer(16, rank).double().eval(), draw(rank)
    axes = tuple(range(2, 2 + rank))
    block.boost.detach().fill_(0.5)
    v = block.reduce(x)
    z = 1.5 * v - 0.5 * v.mean(axes, keepdim=True)
    near, far = block.near_gate(block.near(z)), block.far_gate(block.far(z))
    torch.testing.assert_close(block(x), block.project(torch.cat([near, far], 1)))


def test_kernels_of_single_channels_or_of_several():
    assert SMixer(16, depthwise=True).far[1].groups == 8
    assert [CMixer(16, expansion=2, group_width=width).conv.groups for width in (1, 2)] == [32, 16]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SMixer(12), "channels must be a multiple of 8, got 12"),
        (lambda: CMixer(6), "channels must be a multiple of 4, got 6"),
        (lambda: CMixer(8, expansion=0), "expansion must be at least 1, got 0"),
        (lambda: CMixer(8, group_width=5), "32 channels are not divisible by group_width=5"),
    ],
)
def test_what_can_not_be_is_refused(make, said: str):
    with pytest.raises(ValueError, match=said):
        make()

"""What the abstract of SP&A-Net says: cheap features, then attention of channels and of positions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from blockyard.blocks import GhostAttention, GhostModule, SqueezeExcitation
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS

RANKS = pytest.mark.parametrize("rank", [1, 2, 3])


def made(kind: type, rank: int, **options) -> nn.Module:
    torch.manual_seed(0)
    return kind(8, rank, host=CONVOLUTIONS[rank](8, 16, 3, 2, 1), **options)


def drawn(rank: int) -> Tensor:
    return torch.randn(2, 8, *(4, 6, 5)[:rank], generator=torch.Generator().manual_seed(rank))


@RANKS
def test_without_attention_it_is_the_ghost_module_bit_for_bit(rank: int):
    block = made(GhostAttention, rank, channel_attention=False, position_attention=False)
    ghost = made(GhostModule, rank)
    assert block.state_dict().keys() == ghost.state_dict().keys()
    assert torch.equal(block(drawn(rank)), ghost(drawn(rank)))


@RANKS
def test_features_are_made_then_channels_weighed_then_positions_mixed(rank: int):
    block, ghost = made(GhostAttention, rank).eval(), made(GhostModule, rank).eval()
    features = ghost(drawn(rank))
    weighed = block.channels_weighed(features)
    assert torch.equal(block(drawn(rank)), weighed)  # γ is zero
    nn.init.constant_(block.positions_mixed.gamma, 0.5)
    torch.testing.assert_close(block(drawn(rank)), block.positions_mixed(weighed))
    assert not torch.allclose(block(drawn(rank)), weighed)
    nn.init.zeros_(block.channels_weighed.excite.weight)
    nn.init.zeros_(block.channels_weighed.excite.bias)
    nn.init.zeros_(block.positions_mixed.gamma)
    assert torch.equal(block(drawn(rank)), features / 2)


def test_each_attention_can_be_had_alone():
    alone = made(GhostAttention, 2, position_attention=False)
    kinds = [type(module) for module in alone.children()]
    assert SqueezeExcitation in kinds
    assert len(kinds) == 3
    assert len(list(made(GhostAttention, 2, channel_attention=False).children())) == 3


def test_attention_needs_channels_that_it_divides():
    with pytest.raises(ValueError, match="16 channels are not divisible by reduction=7"):
        made(GhostAttention, 2, reduction=7)

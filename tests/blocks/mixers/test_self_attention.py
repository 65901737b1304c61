"""Self-attention over a map is torch's over its positions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.blocks import SelfAttention


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_torchs_attention_over_the_positions(rank: int):
    block = SelfAttention(16, rank, head_width=4, qkv_bias=True, bias=True).double()
    reference = nn.MultiheadAttention(16, 4, batch_first=True).double()
    reference.load_state_dict(
        {
            "in_proj_weight": block.qkv.weight,
            "in_proj_bias": block.qkv.bias,
            "out_proj.weight": block.project.weight,
            "out_proj.bias": block.project.bias,
        }
    )
    x = torch.randn(2, 16, *(5, 4, 3)[:rank], dtype=torch.float64)
    tokens = x.flatten(2).transpose(1, 2)
    expected = reference(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(block(x), expected)


def test_a_map_of_fewer_channels_than_a_head_has_one_head():
    assert SelfAttention(8).heads == 1


def test_channels_that_make_no_heads_are_refused():
    with pytest.raises(ValueError, match="48 channels are not divisible by head_width=32"):
        SelfAttention(48)

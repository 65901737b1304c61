"""ULSAM: one map a group that sums to one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockyard.blocks import ULSAM

SIZES = {1: (12,), 2: (6, 7), 3: (3, 5, 4)}


@pytest.mark.parametrize(("channels", "groups"), [(32, 4), (96, 1), (64, 16)])
def test_parameters_in_closed_form(channels: int, groups: int):
    """The paper counts 5 C + 3 g with biases and norms, 2 C without either."""
    with_bias, without = ULSAM(channels, groups=groups, bias=True), ULSAM(channels, groups=groups)
    assert sum(p.numel() for p in with_bias.parameters()) == 5 * channels + 3 * groups
    assert sum(p.numel() for p in without.parameters()) == 4 * channels + 2 * groups
    assert without.depthwise.weight.numel() + without.pointwise.weight.numel() == 2 * channels


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_map_sums_to_one(rank: int):
    block = ULSAM(16, rank)
    attention = block.attention(torch.randn(2, 16, *SIZES[rank]))
    torch.testing.assert_close(attention.sum(2), torch.ones(2, 4))
    assert attention.std() > 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_uniform_attention_adds_one_nth(rank: int):
    block, x = ULSAM(16, rank), torch.randn(2, 16, *SIZES[rank])
    nn.init.zeros_(block.pointwise.weight)
    torch.testing.assert_close(block(x), x * (1 + 1 / x[0, 0].numel()))


def test_equals_the_groups_one_by_one():
    block, x = ULSAM(12, groups=3).double().train(), torch.randn(4, 12, 6, 5, dtype=torch.float64)
    parts = []
    for g, part in enumerate(x.chunk(3, 1)):
        own = slice(4 * g, 4 * g + 4)
        signal = part * block.depthwise.weight[own].reshape(1, 4, 1, 1)
        signal = F.batch_norm(signal, None, None, training=True).relu()
        pooled = F.max_pool2d(signal, 3, 1, 1)
        score = F.batch_norm(
            (pooled * block.pointwise.weight[g].reshape(1, 4, 1, 1)).sum(1, True), None, None, training=True
        )
        attention = score.relu().flatten(2).softmax(2).reshape(score.shape)
        parts.append(part + part * attention)
    torch.testing.assert_close(block(x), torch.cat(parts, 1))


def test_a_bias_before_a_batch_norm_changes_nothing():
    with_bias, without = ULSAM(12, bias=True), ULSAM(12)
    without.load_state_dict({k: v for k, v in with_bias.state_dict().items() if k in without.state_dict()})
    x = torch.randn(3, 12, 5, 5)
    torch.testing.assert_close(with_bias(x), without(x))


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(ValueError, match="ULSAM: 30 channels are not divisible by groups=4"):
        ULSAM(30)

"""Global response normalisation, and the linear map that swallows its norm."""

from __future__ import annotations

import pytest
import torch
from timm.layers.grn import GlobalResponseNorm

from blockyard.blocks import ResponseNormMLP
from blockyard.blocks.mixers.response_norm import ResponseNorm


def test_equals_timms():
    ours, theirs = ResponseNorm(6), GlobalResponseNorm(6, channels_last=False)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.normal_()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 6, 5, 7)
    torch.testing.assert_close(ours(x), theirs(x))


def test_changes_nothing_at_first_and_scales_all_alike_where_all_are_equally_strong():
    norm, x = ResponseNorm(4).double(), torch.randn(2, 1, 9, dtype=torch.float64).expand(2, 4, 9)
    assert torch.equal(norm(x), x)
    torch.nn.init.constant_(norm.weight, 0.5)
    torch.testing.assert_close(norm(x), 1.5 * x, rtol=1e-5, atol=0)  # 1e-6 stands beside the mean length


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_merged_it_gives_the_same(rank: int, fill_by_name):
    block = ResponseNormMLP(8, rank)
    fill_by_name(block)
    with torch.no_grad():
        for parameter in block.response.parameters():
            parameter.normal_()
    block.double().eval()
    x = torch.randn(2, 8, *(5,) * rank, dtype=torch.float64)
    merged = block.merged()
    torch.testing.assert_close(merged(x), block(x))
    assert not any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in merged.modules())


def test_refuses_a_ratio_without_channels():
    with pytest.raises(ValueError, match=r"ratio=0\.1 leaves no channel of 8"):
        ResponseNormMLP(8, ratio=0.1)

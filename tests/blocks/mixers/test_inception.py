"""What an Inception-ResNet's units add is timm's, and its network has timm's parameters."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from timm.layers import ConvNormAct
from timm.models.inception_resnet_v2 import Block8, Block17, Block35
from torch import nn

from blockyard.blocks import InceptionBranches

UNITS = {"A": (Block35, 320), "B": (Block17, 1088), "C": (Block8, 2080)}
AS_IN_ITS_NETWORK = partial(ConvNormAct, padding=0, norm_kwargs={"eps": 1e-3}, act_kwargs={"inplace": True})


@pytest.mark.parametrize("kind", UNITS)
def test_equals_timms_units(kind: str):
    make, channels = UNITS[kind]
    stock = make(scale=0.17, conv_block=AS_IN_ITS_NETWORK).eval()
    for name, tensor in stock.state_dict().items():
        if tensor.dim() == 1:  # norms begin as nothing
            tensor.uniform_(0.5, 1.5) if name.endswith(("weight", "var")) else tensor.normal_()
    block = InceptionBranches(channels, kind=kind, scale=0.17).eval()
    assert len(block.state_dict()) == len(stock.state_dict())
    block.load_state_dict(dict(zip(block.state_dict(), stock.state_dict().values(), strict=True)))
    x = torch.randn(2, channels, 6, 5)
    with torch.no_grad():
        torch.testing.assert_close((x + block(x)).relu(), stock(x))


@pytest.mark.parametrize("kind", UNITS)
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_position_sees_what_the_kernels_reach(kind: str, rank: int):
    """Two positions each way by two kernels of three, otherwise half of a band along each axis."""
    block = InceptionBranches(16, rank, kind=kind).double().eval()
    for parameter in block.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # no ReLU silences any of what is positive
    x = torch.ones(1, 16, *(11,) * rank, dtype=torch.float64, requires_grad=True)
    block(x)[(0, slice(None), *(5,) * rank)].sum().backward()
    seen = x.grad[0].abs().sum(0).nonzero()
    reach = {"A": 2, "B": 3, "C": 1}[kind]
    assert seen.min() == 5 - reach
    assert seen.max() == 5 + reach
    assert len(seen) == (2 * reach + 1) ** rank


def test_its_scale_is_a_factor():
    plain, scaled = InceptionBranches(8, scale=1.0), InceptionBranches(8, scale=0.1)
    scaled.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, 6, 6)
    torch.testing.assert_close(scaled(x), 0.1 * plain(x))


def test_another_kind_is_refused():
    with pytest.raises(ValueError, match="kind must be one of A, B, C, got 'D'"):
        InceptionBranches(8, kind="D")

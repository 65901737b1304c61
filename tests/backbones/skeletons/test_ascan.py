"""AsCAN is a recipe: convolutions that are whole units and attention in turn, with more of it the later the stage."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from timm.models._efficientnet_blocks import EdgeResidual
from timm.models.vision_transformer import Block as ViTBlock
from torch import nn

from blockyard.backbones import MetaFormer
from blockyard.blocks import FusedInvertedResidual, SelfAttention

ATTENTION = partial(SelfAttention, head_width=4, qkv_bias=True, bias=True)
SMALL = partial(
    MetaFormer, depths=[1, 2], widths=[4, 8], mixers=[FusedInvertedResidual, FusedInvertedResidual, ATTENTION]
)


def test_attention_grows_from_stage_to_stage(configured):
    """The paper's own counts stand in figures alone; these are an example."""
    with torch.device("meta"):
        network = configured("ascan")(1000, 3)
    stages = [network.get_submodule(stage.path) for stage in network.stages]
    kinds = ["".join("C" if isinstance(unit, FusedInvertedResidual) else "T" for unit in stage) for stage in stages]
    assert kinds == ["CC", "CCCT", "CCTT", "CTTT"]
    assert all(isinstance(unit.mixer, SelfAttention) for stage in stages for unit in stage if hasattr(unit, "mixer"))
    assert [stage.stride for stage in network.stages] == [4, 8, 16, 32]


def test_its_units_are_timms():
    """EfficientNetV2's fused unit, and that of a ViT, by weights in their order."""
    convolution, attention = SMALL(0, 2).double().eval().layer2
    theirs = EdgeResidual(8, 8, exp_ratio=4.0, act_layer=nn.SiLU).double().eval()
    vit = ViTBlock(8, 2, qkv_bias=True, norm_layer=partial(nn.LayerNorm, eps=1e-6)).double().eval()
    x = torch.randn(2, 8, 5, 4, dtype=torch.float64)
    with torch.no_grad():
        for own, other in ((convolution, theirs), (attention, vit)):
            for tensor, stock in zip(own.state_dict().values(), other.state_dict().values(), strict=True):
                if tensor.is_floating_point():
                    tensor.uniform_(0.1, 1)
                    stock.copy_(tensor)
        torch.testing.assert_close(convolution(x), theirs(x))
        torch.testing.assert_close(attention(x).flatten(2).mT, vit(x.flatten(2).mT))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_learns(rank: int):
    network = SMALL(3, 2, spatial_dims=rank)
    network(torch.randn(2, 2, *(16, 8, 8)[:rank])).square().sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_a_fresh_convolution_changes_nothing():
    x = torch.randn(2, 4, 6, 6)
    assert torch.equal(SMALL(0, 2).layer1(x), x)

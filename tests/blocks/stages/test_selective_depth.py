"""A mixture of the units' outputs, and the published network to the parameter."""

from __future__ import annotations

import pytest
import torch
from timm.models.resnet import Bottleneck, ResNet
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import SelectiveDepth


def stage(rank: int = 2) -> nn.Sequential:
    return nn.Sequential(BasicBlock(4, 6, 2, rank), BasicBlock(6, 6, 1, rank), BasicBlock(6, 6, 1, rank)).eval()


def outputs(host: nn.Sequential, x: Tensor) -> list[Tensor]:
    maps = []
    for unit in host:
        maps.append(x := unit(x))
    return maps


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_weights_sum_to_one_in_each_channel_and_mix_the_outputs(rank: int):
    host, x = stage(rank), torch.randn(2, 4, *(8, 6, 5)[:rank])
    block = SelectiveDepth(6, rank, host=host).eval()
    maps = outputs(host, x)
    weights = block.weights(maps)
    assert weights.shape == (2, 3, 6)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, 6))
    assert weights.std() > 0
    tiles = weights.reshape(2, 3, 6, *[1] * rank)
    torch.testing.assert_close(block(host, x), (tiles * torch.stack(maps, 1)).sum(1))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equal_logits_give_the_mean_of_the_outputs(rank: int):
    host, x = stage(rank), torch.randn(2, 4, *(8, 6, 5)[:rank])
    block = SelectiveDepth(6, rank, host=host)
    for excite in block.excite:
        nn.init.zeros_(excite.weight)
        nn.init.constant_(excite.bias, 0.7)
    torch.testing.assert_close(block(host, x), torch.stack(outputs(host, x)).mean(0))


def test_the_largest_logit_selects_a_unit():
    host, x = stage(), torch.randn(2, 4, 8, 8)
    block = SelectiveDepth(6, host=host)
    nn.init.constant_(block.excite[1].bias, 1e4)
    assert torch.equal(block(host, x), outputs(host, x)[1])


def test_weights_come_from_the_mean_of_the_sum_of_the_outputs():
    """So they are the same for outputs whose positions are shuffled, or that swap what they add up to."""
    host = stage()
    block, maps = SelectiveDepth(6, host=host).eval(), outputs(host, torch.randn(2, 4, 8, 8))
    expected = block.weights(maps)
    order = torch.randperm(16)
    shuffled = [one.flatten(2)[:, :, order].reshape(one.shape) for one in maps]
    shift = torch.randn(2, 6, 1, 1)
    moved = [maps[0] + shift, maps[1] - shift, maps[2]]
    for other in (shuffled, moved, [maps[0] + maps[1], torch.zeros_like(maps[0]), maps[2]]):
        torch.testing.assert_close(block.weights(other), expected)


def test_sda_resnet_86():
    """Units 5, 6, 12, 5 with 3×3 convolutions of 8 groups; the released network has a batch norm behind its pooling."""
    with torch.device("meta"):
        network = ResNet(Bottleneck, [5, 6, 12, 5], cardinality=8, base_width=8)
        network.global_pool = nn.Sequential(network.global_pool, nn.BatchNorm1d(2048))
    plug(network, SelectiveDepth, "stage*", mode="around", quiet=True)
    assert {p.device.type for p in network.parameters()} == {"meta"}
    assert sum(p.numel() for p in network.parameters()) == 27_219_880
    widths = [network.get_submodule(f"layer{i}").block.squeeze.out_features for i in (1, 2, 3, 4)]
    assert widths == [64, 64, 64, 128]


def test_what_has_no_depth_to_choose_is_refused():
    with pytest.raises(ValueError, match="this one has a single unit"):
        SelectiveDepth(4, host=nn.Sequential(BasicBlock(4, 4)))
    with pytest.raises(ValueError, match="reduction and least must be at least 1, got 0 and 64"):
        SelectiveDepth(6, reduction=0, host=stage())
    host = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 6, 2))
    with pytest.raises(ValueError, match=r"maps of one shape, and the units give \(2, 4, 8, 8\) and \(2, 6, 4, 4\)"):
        SelectiveDepth(6, host=host)(host, torch.randn(2, 4, 8, 8))


def test_one_vector_is_normalised_by_the_running_statistics_and_two_by_their_own():
    norm = SelectiveDepth(6, host=stage()).norm.train()
    x = torch.randn(1, 64)
    torch.testing.assert_close(norm(x), x, rtol=1e-4, atol=1e-4)  # fresh: mean 0, variance 1, ε = 1e-5
    assert norm(torch.randn(4, 64)).mean(0).abs().max() < 1e-6

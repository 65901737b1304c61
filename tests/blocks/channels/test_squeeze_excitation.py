"""One gate a channel: what others compute with the same weights, and what no gate can do."""

from __future__ import annotations

import pytest
import timm.layers
import torch
from fvcore.nn.squeeze_excitation import SqueezeExcitation as FvcoreSE
from torch import nn
from torchvision.ops import SqueezeExcitation as TorchvisionSE

from blockyard.blocks import ECA, SqueezeExcitation
from blockyard.blocks.channels.squeeze_excitation import eca_kernel_size

SIZES = {1: (9,), 2: (5, 7), 3: (3, 5, 4)}


def draw(rank: int, channels: int = 32) -> torch.Tensor:
    return torch.randn(2, channels, *SIZES[rank])


def adopt(ours: nn.Linear, theirs: nn.Module) -> None:
    ours.load_state_dict({k: v.reshape(ours.state_dict()[k].shape) for k, v in theirs.state_dict().items()})


def test_se_equals_timm_and_torchvision():
    for theirs in (timm.layers.SEModule(32, rd_ratio=1 / 4, rd_divisor=1), TorchvisionSE(32, 8)):
        ours = SqueezeExcitation(32, reduction=4)
        adopt(ours.squeeze, theirs.fc1)
        adopt(ours.excite, theirs.fc2)
        x = draw(2)
        torch.testing.assert_close(ours(x), theirs(x))


def test_se_of_clips_equals_fvcore():
    theirs = FvcoreSE(32, 8, is_3d=True)
    ours = SqueezeExcitation(32, 3, reduction=4)
    convolutions = [m for m in theirs.modules() if isinstance(m, nn.Conv3d)]
    adopt(ours.squeeze, convolutions[0])
    adopt(ours.excite, convolutions[1])
    x = draw(3)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("length", [3, 5, 7])
def test_eca_equals_timm_at_the_same_kernel(length: int):
    theirs = timm.layers.EcaModule(kernel_size=length)
    ours = ECA(32, kernel_size=length)
    ours.load_state_dict(theirs.state_dict())
    x = draw(2)
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("channels", [8, 16, 64, 100, 128, 256, 512, 1024, 2048])
def test_eca_rule_is_timms(channels: int):
    assert ECA(channels).conv.weight.shape == timm.layers.EcaModule(channels).conv.weight.shape


def test_eca_rule_by_stage_of_a_resnet50():
    assert [eca_kernel_size(c) for c in (256, 512, 1024, 2048)] == [5, 5, 5, 7]


def test_eca_sees_neighbours_among_the_channels_only():
    block, x = ECA(32, kernel_size=5), draw(2)
    moved = x.clone()
    moved[:, 10] += 1
    changed = (block(moved) / moved - block(x) / x).abs().amax((0, 2, 3)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [8, 9, 10, 11, 12]


def test_eca_of_zero_weight_halves():
    block, x = ECA(32, kernel_size=1), draw(2)
    nn.init.zeros_(block.conv.weight)
    assert torch.equal(block(x), x / 2)


@pytest.mark.parametrize("length", [0, 4, -3])
def test_an_eca_kernel_without_centre_is_refused(length: int):
    with pytest.raises(ValueError, match=f"kernel_size must be odd and positive, got {length}"):
        ECA(32, kernel_size=length)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_gate_is_one_number_a_channel_between_zero_and_one(rank: int):
    for block in (SqueezeExcitation(32, rank), ECA(32, rank)):
        x = draw(rank)
        gate = (block(x) / x).flatten(2)
        torch.testing.assert_close(gate, gate[:, :, :1].expand_as(gate))
        assert gate.min() > 0
        assert gate.max() < 1

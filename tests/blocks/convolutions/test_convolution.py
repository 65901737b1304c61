"""What stands in for a convolution gives maps of the convolution's shape, wherever that goes."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from blockyard.blocks import DCLS, PHC, GhostModule, PolynomialConvolution
from blockyard.blocks.convolutions.convolution import ConvolutionSlot, geometry_of
from blockyard.plugging import PlugError, plug

SLOTS = [GhostModule, PHC, DCLS, PolynomialConvolution]
SIZES = {1: (13,), 2: (9, 12), 3: (5, 6, 7)}
HOSTS = {
    "strided, more channels": (nn.Conv2d(8, 16, 3, 2, 1, bias=False), 2),
    "with bias": (nn.Conv2d(8, 12, 3, 1, 1), 2),
    "large, padded by name": (nn.Conv2d(8, 8, 7, padding="same"), 2),
    "dilated": (nn.Conv2d(8, 8, 3, padding=2, dilation=2), 2),
    "pointwise": (nn.Conv2d(8, 16, 1, bias=False), 2),
    "of sounds": (nn.Conv1d(8, 16, 9, 4, 4), 1),
    "of clips": (nn.Conv3d(8, 8, (3, 1, 1), (2, 1, 1), (1, 0, 0), bias=False), 3),
    "of clips, in space": (nn.Conv3d(8, 16, (1, 3, 3), (1, 2, 2), (0, 1, 1)), 3),
}


@pytest.mark.parametrize("slot", SLOTS)
@pytest.mark.parametrize(("host", "rank"), HOSTS.values(), ids=HOSTS.keys())
def test_gives_the_shape_that_the_host_gives_and_learns(
    slot: type[ConvolutionSlot], host: nn.Module, rank: int, assert_learns
):
    x = torch.randn(2, 8, *SIZES[rank])
    block = slot(8, rank, host=host)
    assert block(x).shape == host(x).shape
    block, x = block.double(), x.double()
    target = torch.randn_like(block(x))
    assert_learns(block, lambda: (block(x) - target).square().mean())


@pytest.mark.parametrize("slot", [PHC, DCLS, PolynomialConvolution])  # the kernels that are not torch's own modules'
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_kernel_deeper_than_the_clip_has_the_right_gradient_in_bfloat16(slot: type[ConvolutionSlot], depth: int):
    host = nn.Conv3d(16, 16, (5, 3, 3), padding=(2, 1, 1), bias=False)
    block, x = slot(16, 3, host=host), torch.randn(2, 16, depth, 8, 8)
    gradients = []
    for mixed in (False, True):
        block.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            block(x).float().square().mean().backward()
        gradients.append(torch.cat([p.grad.flatten() for p in block.parameters()]))
    # Some roundings of 2^-8: of the map, the kernel, the output and its gradient.
    assert (gradients[1] - gradients[0]).norm() < 0.05 * gradients[0].norm()


@pytest.mark.parametrize("slot", [PHC, DCLS, PolynomialConvolution])
def test_groups_do_not_see_each_other(slot: type[ConvolutionSlot]):
    block = slot(16, host=nn.Conv2d(16, 16, 3, padding=1, groups=2)).double()
    x = torch.randn(1, 16, 6, 6, dtype=torch.float64)
    moved = x.clone()
    moved[:, :8] += 1
    assert torch.equal(block(moved)[:, 8:], block(x)[:, 8:])
    assert not torch.equal(block(moved)[:, :8], block(x)[:, :8])


@pytest.mark.parametrize("slot", SLOTS)
def test_goes_into_a_stock_network_and_takes_its_checkpoint(slot: type[ConvolutionSlot]):
    stock = timm.create_model("resnet18")
    network = plug(copy.deepcopy(stock), slot, ["layer1.*.conv?", "layer2.0.conv1"], mode="replace")
    result = network.load_state_dict(stock.state_dict(), strict=False)
    places = [f"layer1.{unit}.conv{number}" for unit in (0, 1) for number in (1, 2)]
    assert result.unexpected_keys == [f"{place}.weight" for place in [*places, "layer2.0.conv1"]]
    assert torch.equal(network.conv1.weight, stock.conv1.weight)
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ("host", "message"),
    [
        (nn.Linear(8, 8), "PHC replaces a Conv2d, not a Linear"),
        (nn.Conv1d(8, 8, 3), "PHC replaces a Conv2d, not a Conv1d"),
        (nn.ConvTranspose2d(8, 8, 3), "PHC replaces a Conv2d, not a ConvTranspose2d"),
        (nn.Conv2d(4, 8, 3), "a Conv2d of 8 channels padded by zeros, not"),
        (nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), "a Conv2d of 8 channels padded by zeros, not"),
        (nn.Conv2d(8, 8, 4, padding="same"), "pads one side more than the other"),
    ],
)
def test_other_hosts_are_refused(host: nn.Module, message: str):
    with pytest.raises(ValueError, match=message):
        PHC(8, host=host)


def test_what_a_block_cannot_be_is_refused():
    with pytest.raises(ValueError, match="without groups, not one of 8"):
        GhostModule(8, host=nn.Conv2d(8, 8, 3, groups=8))
    with pytest.raises(ValueError, match="ratio must be from 1 to 8, got 9"):
        GhostModule(8, ratio=9)
    with pytest.raises(ValueError, match="cheap_kernel_size must be odd and positive, got 4"):
        GhostModule(8, cheap_kernel_size=4)
    with pytest.raises(ValueError, match="3 channels are not divisible by dimension=4"):
        PHC(3, host=nn.Conv2d(3, 8, 3))
    with pytest.raises(ValueError, match="dilated_kernel_size must be odd and positive, got 6"):
        DCLS(8, dilated_kernel_size=6)
    with pytest.raises(ValueError, match="kernel_count must be at least 1, got 0"):
        DCLS(8, kernel_count=0)
    with pytest.raises(ValueError, match="an odd convolution that pads by half its kernel"):
        DCLS(8, host=nn.Conv2d(8, 8, 3))
    with pytest.raises(ValueError, match="degree must be at least 1, got 0"):
        PolynomialConvolution(8, degree=0)


def test_an_image_of_three_channels_is_refused_by_name_of_the_place():
    with pytest.raises(PlugError, match="cannot plug replace conv1: PHC: 3 channels are not divisible by dimension=4"):
        plug(timm.create_model("resnet18"), PHC, "conv1", mode="replace")


def test_padding_by_name_is_read_as_numbers():
    assert geometry_of(nn.Conv2d(8, 8, (3, 5), padding="same", dilation=2), 8, 2, "PHC").padding == (2, 4)
    assert geometry_of(nn.Conv2d(8, 8, 3, padding="valid"), 8, 2, "PHC").padding == (0, 0)

"""Weights at real positions: a dilated convolution on a regular grid, bilinear interpolation between cells."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockyard.blocks import DCLS

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
SIZES = {1: (17,), 2: (11, 13), 3: (7, 8, 9)}


def on_a_grid(block: DCLS, side: int, step: int) -> None:
    """Put the weights in the order of a kernel of ``side`` taps, ``step`` apart."""
    line = (torch.arange(side) - side // 2) * step
    places = torch.stack(torch.meshgrid(*[line] * block.spatial_dims, indexing="ij")).flatten(1)
    with torch.no_grad():
        block.positions.copy_(places[:, None, None].expand_as(block.positions))


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_on_a_regular_grid_it_is_a_dilated_convolution(rank: int, step: int):
    block = DCLS(4, rank, dilated_kernel_size=2 * step + 1).double()
    on_a_grid(block, 3, step)
    x = torch.randn(2, 4, *SIZES[rank], dtype=torch.float64)
    weight = block.weight.unflatten(2, (3,) * rank)
    torch.testing.assert_close(block(x), CONVOLUTIONS[rank](x, weight, padding=step, dilation=step))


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_equals_the_package_of_the_authors(rank: int, groups: int):
    """Their rows of positions go from the last axis of S to the first."""
    modules = pytest.importorskip("DCLS.construct.modules", reason="needs the package dcls")
    options = {"kernel_count": 5, "dilated_kernel_size": 7, "stride": 2, "padding": 3, "groups": groups}
    theirs = getattr(modules, f"Dcls{rank}d")(4, 8, **options, version="v1")
    host = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1](4, 8, 3, stride=2, padding=1, groups=groups)
    ours = DCLS(4, rank, kernel_count=5, dilated_kernel_size=7, host=host)
    with torch.no_grad():
        theirs.P.uniform_(-3, 3)
        ours.positions.copy_(theirs.P.flip(0))
        ours.weight.copy_(theirs.weight)
        ours.bias.copy_(theirs.bias)
    x = torch.randn(2, 4, *SIZES[rank])
    torch.testing.assert_close(ours(x), theirs(x))
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    torch.testing.assert_close(ours.positions.grad, theirs.P.grad.flip(0), rtol=1e-3, atol=1e-3)  # sums in float32


def test_depthwise_and_strided_on_a_grid():
    host = nn.Conv2d(6, 6, 5, 2, 2, groups=6)
    block = DCLS(6, dilated_kernel_size=5, host=host)
    on_a_grid(block, 5, 1)
    with torch.no_grad():
        block.weight.copy_(host.weight.flatten(2))
        block.bias.copy_(host.bias)
    x = torch.randn(2, 6, 12, 12)
    torch.testing.assert_close(block(x), host(x))


def test_between_cells_a_weight_is_shared_bilinearly():
    """Every weight by itself: the four cells around it get the areas of the opposite rectangles."""
    block = DCLS(3, kernel_count=5, dilated_kernel_size=9).double()
    with torch.no_grad():
        block.positions.uniform_(-4, 4)
    expected = torch.zeros(3, 3, 9, 9, dtype=torch.float64)
    for o, i, k in product(range(3), range(3), range(5)):
        y, x = (block.positions[:, o, i, k] + 4).tolist()
        top, left = math.floor(y), math.floor(x)
        down, right = y - top, x - left
        shares = {(0, 0): (1 - down) * (1 - right), (0, 1): (1 - down) * right, (1, 0): down * (1 - right)}
        for (a, b), share in (shares | {(1, 1): down * right}).items():
            expected[o, i, top + a, left + b] += share * block.weight[o, i, k].item()
    torch.testing.assert_close(block.kernel(), expected)
    torch.testing.assert_close(block.kernel().sum((2, 3)), block.weight.sum(2))


def test_the_gradient_of_a_position_is_the_slope():
    block = DCLS(2, 2, kernel_count=3, dilated_kernel_size=7).double()
    with torch.no_grad():
        block.positions.uniform_(-2, 2)
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)

    def run(positions: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(block, {"positions": positions, "weight": weight}, (x,))

    assert torch.autograd.gradcheck(run, (block.positions, block.weight))


def test_a_position_outside_acts_at_the_border_and_can_return():
    block = DCLS(1, 1, kernel_count=1, dilated_kernel_size=5).double()
    nn.init.constant_(block.positions, 7.3)
    nn.init.ones_(block.weight)
    assert block.kernel().flatten().tolist() == [0, 0, 0, 0, 1]
    block.kernel()[0, 0, 3].backward()
    assert block.positions.grad.item() == -1, "a step inwards gives the cell within a share"


def test_a_host_gives_the_number_of_weights_and_the_reach():
    block = DCLS(8, host=nn.Conv2d(8, 8, 7, padding=3, groups=8))
    assert block.weight.shape == (8, 1, 49)
    assert block.kernel().shape == (8, 1, 17, 17)


def test_learns_how_far_apart_two_taps_are():
    """The target sums two positions four apart; the block starts with both taps next to the centre."""
    torch.manual_seed(0)
    block = DCLS(1, 1, kernel_count=2, dilated_kernel_size=9)
    with torch.no_grad():
        block.positions.copy_(torch.tensor([-0.5, 0.5]).reshape(1, 1, 1, 2))
        block.weight.fill_(1)
    noise = torch.randn(64, 1, 64)
    smooth = F.avg_pool1d(noise, 5, 1, 2)
    target = torch.roll(smooth, 2, 2) + torch.roll(smooth, -2, 2)
    optimizer = torch.optim.Adam(block.parameters(), 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        (block(smooth) - target)[..., 8:-8].square().mean().backward()
        optimizer.step()
    assert sorted(block.positions.flatten().tolist()) == pytest.approx([-2, 2], abs=0.1)

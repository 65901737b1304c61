"""Modules that run several times with the same weights: the block runs as often, with its own."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.blocks import ECA, RelativeAttention, SpectralNonlocal, Wrapper
from blockyard.costs import added_cost, count_macs, count_parameters
from blockyard.plugging import PlugError, sites

DRAW = functools.partial(nn.init.normal_, std=0.3)


class Pyramid(nn.Module):
    """One head on three levels, as detectors have it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.head = nn.Sequential(nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1))

    def levels(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        return [x, nn.functional.max_pool2d(x, 2), nn.functional.max_pool2d(x, 4)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.head(level).mean((2, 3)) for level in self.levels(x)])


class Recursive(nn.Module):
    """One unit that is run three times; ``widths`` are those of what it then makes."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 1)
        self.unit = nn.Conv2d(8, 8, 3, 1, 1)
        self.norm = Cut()
        self.widths = widths

    def forward(self, x: Tensor) -> Tensor:
        x = self.unit(self.unit(self.unit(self.stem(x))))
        for width in self.widths:
            x = self.norm(x, width)
        return x.mean((2, 3))


class Cut(nn.Module):
    """The first channels, weighted."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor, width: int) -> Tensor:
        return x[:, :width] * self.weight


class Doubled(Wrapper):
    def forward(self, host: nn.Module, x: Tensor) -> Tensor:
        return 2 * host(x)


def test_a_block_in_a_shared_head_sees_every_level_and_keeps_stock_checkpoints():
    network, stock = Pyramid().double().eval(), Pyramid().double().eval()
    stock.load_state_dict(network.state_dict())
    plug(network, ECA, "head.0", quiet=True)
    DRAW(network.head[0].block.conv.weight)
    x = torch.randn(2, 3, 24, 24, dtype=torch.float64)
    first, *rest = stock.head
    block = network.head[0].block
    expected = [nn.Sequential(*rest)(block(first(level))).mean((2, 3)) for level in stock.levels(x)]
    torch.testing.assert_close(network(x), torch.stack(expected), rtol=0, atol=1e-12)
    assert sum(name.startswith("head.0.block") for name, _ in network.named_parameters()) == len(
        list(block.parameters())
    )
    network.load_state_dict(stock.state_dict())


def test_the_gradient_of_a_shared_block_is_the_sum_over_the_levels():
    network = plug(Pyramid().double(), ECA, "head.0", quiet=True)
    block, x = network.head[0].block, torch.randn(2, 3, 16, 16, dtype=torch.float64)
    network(x).square().sum().backward()
    whole = block.conv.weight.grad.clone()
    parts = torch.zeros_like(whole)
    for level in network.levels(x):
        parts += torch.autograd.grad(network.head(level).mean((2, 3)).square().sum(), block.conv.weight)[0]
    torch.testing.assert_close(whole, parts, rtol=1e-10, atol=1e-12)


def test_replacing_and_going_around_what_is_shared():
    network = plug(Pyramid(), ECA, "head.2", mode="replace", quiet=True)
    assert network.head[2].pool.kernel_size == (2, 2)  # the stride of every level
    assert network(torch.randn(1, 3, 20, 20)).shape == (3, 1, 8)
    x = torch.randn(1, 3, 20, 20)
    network = Pyramid()
    before = network(x)
    plug(network, Doubled, "head", mode="around", quiet=True)
    torch.testing.assert_close(network(x), 2 * before)


def test_a_block_for_one_size_goes_where_the_size_stays():
    example = torch.zeros(1, 3, 16, 16)
    network = plug(Recursive(), RelativeAttention, "unit", example=example, quiet=True)
    assert [len(table) for table in network.unit.block.tables] == [31, 31]  # 2 · 16 − 1 distances along each axis
    with pytest.raises(PlugError, match="runs on maps of several sizes, and RelativeAttention is for one"):
        plug(Pyramid(), RelativeAttention, "head.0", example=example, quiet=True)


def test_what_shares_nothing_or_changes_its_width_is_refused():
    with pytest.raises(PlugError, match="runs 3 times when the network is called, and has no weights"):
        plug(Pyramid(), SpectralNonlocal, "head.1", quiet=True)
    with pytest.raises(PlugError, match="maps of 4 and 8 channels, and a block is for one number of them"):
        plug(Recursive(8, 4), SpectralNonlocal, "norm", quiet=True)


def test_sites_say_how_often_and_what_the_first_call_gives():
    found = {site.path: site for site in sites(Pyramid(), torch.zeros(1, 3, 32, 32))}
    assert (found["head.0"].runs, found["head.0"].output, found["head.0"].refusal) == (3, (8, 32, 32), None)
    assert found["head.1"].refusal is not None


def test_the_cost_of_a_block_is_that_of_all_its_calls():
    network, x = Pyramid(), (3, 32, 32)
    site = next(site for site in sites(network, torch.zeros(1, *x)) if site.path == "head.0")
    before = count_macs(network, x)
    plug(network, SpectralNonlocal, "head.0", quiet=True)
    cost = added_cost(site, SpectralNonlocal)
    assert cost.macs == count_macs(network, x) - before
    assert cost.parameters == count_parameters(network.head[0].block)

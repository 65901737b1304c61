"""x + Σ Fᵢ(x) is the stack of units without its higher-order terms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import ParallelSum


def stack(units: int, rank: int = 2, scale: float = 1.0) -> nn.Sequential:
    """Residual units whose last convolution, and so F, is scaled."""
    host = nn.Sequential(*(BasicBlock(4, 4, 1, rank) for _ in range(units))).double().eval()
    with torch.no_grad():
        for unit in host:
            unit.conv2.weight.mul_(scale)
    return host


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_it_is_x_plus_what_each_unit_adds(rank: int):
    host, x = stack(3, rank), torch.randn(2, 4, *(5, 6, 4)[:rank], dtype=torch.float64)
    branches = [unit.conv2(unit.relu2(unit.bn2(unit.conv1(unit.relu1(unit.bn1(x)))))) for unit in host]
    torch.testing.assert_close(ParallelSum(4, rank, host=host)(host, x), x + sum(branches))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_the_stack_differs_by_the_square_of_what_the_units_add(rank: int):
    x = torch.randn(2, 4, *(5, 6, 4)[:rank], dtype=torch.float64)

    def difference(epsilon: float) -> float:
        torch.manual_seed(1)
        host = stack(4, rank, epsilon)
        with torch.no_grad():
            return float((host(x) - ParallelSum(4, rank, host=host)(host, x)).norm())

    sizes = torch.logspace(-4, -2, 5, dtype=torch.float64)
    found = torch.tensor([difference(float(epsilon)) for epsilon in sizes], dtype=torch.float64)
    exponents = found.log().diff() / sizes.log().diff()
    # where a ReLU switches, F is not smooth: that moves an exponent by a few hundredths
    torch.testing.assert_close(exponents, torch.full_like(exponents, 2.0), atol=0.1, rtol=0)


def test_one_unit_is_the_same_bit_for_bit_and_so_is_one_behind_a_first_that_changes_the_shape():
    x = torch.randn(2, 4, 8, 8)
    for host in (
        nn.Sequential(BasicBlock(4, 4)),
        nn.Sequential(BasicBlock(4, 6, 2)),
        nn.Sequential(BasicBlock(4, 6), BasicBlock(6, 6)),
        nn.Sequential(BasicBlock(4, 4, 2), BasicBlock(4, 4)),
    ):
        channels = host(x).shape[1]
        assert torch.equal(ParallelSum(channels, host=host)(host.eval(), x), host(x))


def test_units_that_add_nothing_leave_x_as_it_is():
    host, x = stack(5, scale=0.0), torch.randn(2, 4, 5, 5, dtype=torch.float64)
    assert torch.equal(ParallelSum(4, host=host)(host, x), x)


def test_a_first_unit_that_changes_the_shape_runs_before_the_others():
    host, x = nn.Sequential(BasicBlock(4, 6, 2), BasicBlock(6, 6), BasicBlock(6, 6)).eval(), torch.randn(2, 4, 8, 8)
    u = host[0](x)
    torch.testing.assert_close(ParallelSum(6, host=host)(host, x), u + (host[1](u) - u) + (host[2](u) - u))


def test_no_parameter_is_added():
    plain = sum(p.numel() for p in PreResNet(10).parameters())
    network = plug(PreResNet(10), ParallelSum, "stage*", mode="around", quiet=True)
    assert sum(p.numel() for p in network.parameters()) == plain


def test_a_later_unit_that_changes_the_shape_is_refused():
    host = nn.Sequential(BasicBlock(4, 4), BasicBlock(4, 6, 2))
    with pytest.raises(
        ValueError, match=r"only the first unit may change the shape; one takes \(2, 4, 8, 8\) to \(2, 6"
    ):
        ParallelSum(6, host=host)(host, torch.randn(2, 4, 8, 8))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_units_that_are_not_residual_are_refused_where_it_is_plugged_in(rank: int):
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[rank]
            self.stage = nn.Sequential(*(nn.Sequential(conv(3, 3, 3, padding=1), nn.ReLU()) for _ in range(2)))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.stage(x)

    network, x = Plain(), torch.zeros(1, 3, *(8,) * rank)
    with pytest.raises(ValueError, match="adds up what residual units add, and Sequential is none"):
        plug(network, ParallelSum, "stage", mode="around", example=x, quiet=True)
    assert isinstance(network.stage, nn.Sequential), "and the network is as it was"


def test_a_first_unit_that_changes_the_shape_need_not_be_residual():
    class Strided(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stage = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), BasicBlock(6, 6), BasicBlock(6, 6))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.stage(x)

    plug(Strided(), ParallelSum, "stage", mode="around", example=torch.zeros(1, 3, 8, 8), quiet=True)

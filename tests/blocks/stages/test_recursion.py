"""Recursion is a power of what the host does, and adds no parameter."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import Recursion
from blockyard.costs import count_macs, count_parameters


@pytest.mark.parametrize("times", [1, 2, 3])
def test_of_a_linear_host_it_is_a_power_of_its_matrix(times: int):
    host, x = nn.Conv2d(4, 4, 1, bias=False).double(), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    matrix = torch.linalg.matrix_power(host.weight[:, :, 0, 0], times)
    expected = torch.einsum("ij,bjhw->bihw", matrix, x)
    torch.testing.assert_close(Recursion(4, times=times, host=host)(host, x), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_first_unit_that_changes_the_shape_runs_once(rank: int):
    host = nn.Sequential(BasicBlock(4, 6, 2, rank), BasicBlock(6, 6, 1, rank), BasicBlock(6, 6, 1, rank)).eval()
    x = torch.randn(2, 4, *(6, 8, 4)[:rank])
    first, second, third = host
    expected = third(second(third(second(first(x)))))
    assert torch.equal(Recursion(6, rank, host=host)(host, x), expected)


def test_a_unit_of_a_network_costs_its_products_again_and_no_parameter():
    plain, network = PreResNet(10), plug(PreResNet(10), Recursion, "stage2.1", mode="around", quiet=True)
    assert count_parameters(network) == count_parameters(plain)
    two_convolutions = 2 * 9 * 32 * 32 * 4 * 4
    assert count_macs(network, (3, 8, 8)) - count_macs(plain, (3, 8, 8)) == two_convolutions


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_projection_of_its_own_stands_behind_each_pass(rank: int):
    host = nn.Sequential(BasicBlock(6, 6, 1, rank), BasicBlock(6, 6, 1, rank)).eval()
    block, x = Recursion(6, rank, times=3, ratio=2.0, host=host), torch.randn(2, 6, *(6, 8, 4)[:rank])
    first, second, third = block.projections
    torch.testing.assert_close(block(host, x), third(host(second(host(first(host(x)))))))
    for project in block.projections:
        nn.init.zeros_(project.add)
    torch.testing.assert_close(block(host, x), Recursion(6, rank, times=3, host=host)(host, x))


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (nn.Sequential(BasicBlock(4, 6, 2)), "the stage's only unit changes the shape"),
        (BasicBlock(4, 6, 2), "Recursion needs units that run one after another"),
        (nn.Sequential(BasicBlock(4, 6, 2), BasicBlock(6, 6, 2)), "goes to"),
    ],
)
def test_what_cannot_run_again_is_refused(host: nn.Module, said: str):
    with pytest.raises(ValueError, match=said):
        Recursion(6, host=host).check(host, torch.randn(2, 4, 8, 8))


def test_no_pass_and_no_hidden_channel_are_refused():
    with pytest.raises(ValueError, match="times must be at least 1, got 0"):
        Recursion(4, times=0, host=nn.Identity())
    with pytest.raises(ValueError, match=r"ratio=0\.2 leaves no channel of 4"):
        Recursion(4, ratio=0.2, host=nn.Identity())


def test_every_pass_has_statistics_of_its_own():
    """Trained on one batch until they are its statistics, evaluation is training, whatever the passes see."""
    host = nn.Sequential(BasicBlock(4, 6, 2), BasicBlock(6, 6), BasicBlock(6, 6))
    block, x = Recursion(6, times=3, host=host), torch.randn(64, 4, 8, 8)
    for module in host.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        for _ in range(2):
            expected = block(host, x)
        host.eval(), block.eval()
        # running variances are unbiased: by 1 / (64 · 16 - 1) greater
        torch.testing.assert_close(block(host, x), expected, rtol=0, atol=2e-2)


def test_statistics_are_kept_with_the_network():
    network = plug(PreResNet(10), Recursion, "stage2", mode="around", quiet=True)
    network(torch.randn(4, 3, 16, 16))
    again = plug(PreResNet(10), Recursion, "stage2", mode="around", quiet=True)
    again.load_state_dict(network.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(network.eval()(x), again.eval()(x))
    assert any("passes.0" in key for key in network.state_dict())

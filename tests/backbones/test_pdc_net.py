"""PDC: a plain network, and branches behind its shortcuts that make a polynomial of it."""

from __future__ import annotations

import copy
import os
import sys
from functools import partial

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from blockyard import plug
from blockyard.backbones import PDCNet
from blockyard.blocks import PolynomialBranch
from blockyard.costs import count_parameters
from blockyard.plugging import Plug, apply_plugs

BRANCH = partial(PolynomialBranch, kernel_size=3, negative_slope=0.01)
SMALL = {"widths": (8, 12), "units": (2, 1)}


def pdc(num_classes: int = 10, in_channels: int = 3) -> nn.Module:
    """The paper's compressed network for CIFAR-10."""
    plugs = [
        Plug(partial(BRANCH, inner=64), "layer[12].*.shortcut"),
        Plug(partial(BRANCH, inner=128), "layer[34].*.shortcut"),
    ]
    return apply_plugs(PDCNet(num_classes, in_channels), plugs, quiet=True)


def small(rank: int = 2) -> nn.Module:
    """One of few channels."""
    network = PDCNet(5, 2, **SMALL, spatial_dims=rank)
    return plug(network, partial(BRANCH, inner=4), "layer*.*.shortcut", quiet=True)


def branches(network: nn.Module) -> list[PolynomialBranch]:
    return [module for module in network.modules() if isinstance(module, PolynomialBranch)]


def awake(network: nn.Module, alpha: float = 0.7) -> nn.Module:
    """Let the branches say something."""
    for branch in branches(network):
        nn.init.constant_(branch.alpha, alpha)
    return network


def test_the_compressed_network_has_the_published_parameters():
    network = pdc()
    assert count_parameters(network) == 4_259_793
    assert len(branches(network)) == 7
    # of these, in the branches: U1, U2 and W, the norms of X, U1 and U2, and one alpha each
    of_branches = sum(
        27 * c * p + 2 * c + 4 * p + 1 for c, p in [(64, 64)] * 2 + [(128, 64)] * 2 + [(192, 128)] * 2 + [(256, 128)]
    )
    assert count_parameters(PDCNet(10)) == 4_259_793 - of_branches


@pytest.mark.parametrize("training", [False, True])
def test_fresh_it_is_the_plain_network_bit_for_bit(training: bool):
    torch.manual_seed(0)
    plain = PDCNet(10).train(training)
    torch.manual_seed(0)
    network, x = pdc().train(training), torch.randn(2, 3, 32, 32)
    assert torch.equal(network(x), plain(x))
    assert not torch.equal(awake(network)(x), plain(x))


def test_a_unit_written_out():
    """ReLU of: ReLU of the convolution, the shortcut, and alpha times the convolved product of the two factors."""
    network = awake(small()).double().eval()
    unit, x = network.layer2[0], torch.randn(3, 8, 9, 6, dtype=torch.float64)
    branch = unit.shortcut.block
    leaky, normed = nn.LeakyReLU(0.01), nn.InstanceNorm2d(12)
    shortcut = unit.shortcut.host(x)
    factors = [leaky(norm(conv(branch.entry(shortcut)))) for conv, norm in (branch.first, branch.second)]
    product = leaky(normed(branch.out[0](factors[0] * factors[1])))
    expected = (unit.bn1(unit.conv1(x)).relu() + shortcut + 0.7 * product).relu()
    torch.testing.assert_close(unit(x), expected)


def difference(network: nn.Module, x: Tensor, direction: Tensor, order: int) -> Tensor:
    """The ``order``-th divided difference along a line, at Chebyshev nodes: zero for every polynomial of lower degree.

    Relative to the largest term of its sum, of which rounding leaves some parts in 10^16.
    """
    nodes = torch.cos(torch.pi * (torch.arange(order + 1, dtype=torch.float64) + 0.5) / (order + 1))
    gaps = nodes[:, None] - nodes + torch.eye(order + 1, dtype=torch.float64)
    values = network(x + nodes.view(-1, 1, 1, 1) * direction) / gaps.prod(1)[:, None]
    return values.sum(0).abs().max() / values.abs().max()


@pytest.mark.parametrize(("units", "degree"), [((1,), 2), ((1, 1), 4), ((2, 1), 8)])
def test_without_activations_and_with_fixed_norms_it_is_a_polynomial_whose_degree_doubles(units, degree: int):
    network = PDCNet(5, 2, widths=(8, 12)[: len(units)], units=units).double()
    branch = partial(PolynomialBranch, kernel_size=3, inner=4, norm=False)
    plug(network, branch, "layer*.*.shortcut", quiet=True)
    x, direction = torch.randn(2, 1, 2, 8, 8, dtype=torch.float64)
    direction, alpha = 4 * direction, 3.0  # large enough for the highest powers to be seen beside the others
    network(torch.randn(8, 2, 8, 8, dtype=torch.float64))  # norms of some features, fixed from here on
    awake(network, alpha).eval()
    assert difference(network, x, direction, degree + 1) > 1e-4, "the activations are no polynomials"
    plug(network, lambda channels, rank: nn.Identity(), ["relu1", "layer*.*.relu?"], mode="replace", quiet=True)
    assert difference(network, x, direction, degree + 1) < 1e-12
    assert difference(network, x, direction, degree) > 1e-4, "it is of no lower degree"


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_gradient_reaches_every_parameter_by_the_second_step(rank: int, assert_learns):
    network, x = small(rank).double(), torch.randn(4, 2, *(8, 10, 8)[:rank], dtype=torch.float64)
    assert_learns(network, lambda: nn.functional.cross_entropy(network(x), torch.arange(4)))


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("size", [(16, 16, 16), (9, 12, 7), (1, 1, 1)])
def test_features_have_the_stated_channels_and_strides(rank: int, size: tuple[int, ...]):
    network = awake(small(rank)).eval()
    x = torch.randn(2, 2, *size[:rank])
    for stage, features in zip(network.stages, network.features(x), strict=True):
        assert features.shape == (2, stage.channels, *(-(-side // stage.stride) for side in size[:rank]))
    assert network(x).shape == (2, 5)


def test_a_plug_at_the_end_of_a_stage_shows_in_the_features():
    network = plug(pdc().eval(), lambda c, d: nn.Hardtanh(0.1, 0.2), "stage2.-1", quiet=True)
    assert network.features(torch.randn(1, 3, 16, 16))[1].max() <= torch.tensor(0.2)


def test_compiles_to_one_graph():
    network, x = awake(small()), torch.randn(4, 2, 12, 12)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(network), fullgraph=True, backend="aot_eager")
    # The same kernels in another order.
    torch.testing.assert_close(compiled(x), network(x), rtol=1e-4, atol=1e-5)


def train(rank: int, folder: str) -> None:
    """One of two processes: ``python test_pdc_net.py FOLDER RANK``."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    network = DistributedDataParallel(small())
    for step in range(2):  # a parameter without a gradient in the first step is an error in the second
        torch.manual_seed(2 * step + rank)
        network.zero_grad()
        network(torch.randn(2, 2, 8, 8)).logsumexp(1).sum().backward()
    gradients = torch.cat([p.grad.flatten() for p in network.parameters()])
    both = [torch.empty_like(gradients) for _ in range(2)]
    distributed.all_gather(both, gradients)
    assert torch.equal(*both), "the processes have different gradients"
    assert gradients.any(), "nothing learns"
    os._exit(0)  # torch 2.13 may hang where a wrapped network and its group are taken down, each with threads


@pytest.mark.slow
def test_two_processes_train_it_with_no_parameter_left_out(in_two_processes):
    in_two_processes(__file__)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"spatial_dims": 4}, "spatial_dims must be one of 1, 2, 3, got 4"),
        ({"widths": (8, 8)}, r"one of each for every stage, got \[8, 8\] and \[2, 2, 2, 1\]"),
        ({"widths": (), "units": ()}, "widths and units must be positive"),
        ({"widths": (8, 8), "units": (1, 0)}, "widths and units must be positive"),
    ],
)
def test_mistakes(arguments, why: str):
    with pytest.raises(ValueError, match=why):
        PDCNet(10, **arguments)


if __name__ == "__main__":
    train(int(sys.argv[2]), sys.argv[1])

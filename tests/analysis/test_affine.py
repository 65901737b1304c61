"""The affine map of a network at an input: exact there, the gradient where that is all, and a refusal of the rest."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard.analysis.affine import affine_map
from blockyard.backbones import PreResNet
from blockyard.blocks import CrissCross, GlobalContext, Nonlocal, PolynomialBranch, SpectralNonlocal, SqueezeExcitation
from blockyard.plugging import plug

EXACT = {"rtol": 1e-9, "atol": 1e-9}
"""float64, other orders of sums."""


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def trained(network: nn.Module) -> nn.Module:
    """Weights and statistics of which none is neutral, in evaluation."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    for parameter in network.parameters():
        if parameter.ndim <= 1:
            nn.init.normal_(parameter, 0.5, 0.3)
    return network.double().eval()


def plugged(block: Callable[..., nn.Module], rank: int = 2) -> nn.Module:
    network = PreResNet(5, depth=8, width=8, spatial_dims=rank)
    plug(network, block, "stage2.0")
    return trained(network)


def holds(network: nn.Module, x: Tensor) -> None:
    """It is the output there, and A x + b by rows and by columns."""
    found = affine_map(network, x)
    with torch.no_grad():
        torch.testing.assert_close(found(x.double()), network(x), **EXACT)
    row = found.row(3)
    torch.testing.assert_close((row * x[0]).sum() + found.constant[0, 3], network(x)[0, 3].detach(), **EXACT)
    some = tuple(length // 2 for length in x.shape[1:])
    torch.testing.assert_close(found.column(*some)[3], row[some], **EXACT)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_rows_of_a_network_of_rectifiers_are_its_gradient(rank):
    network, x = (
        trained(PreResNet(5, depth=8, width=8, spatial_dims=rank)),
        torch.randn(1, 3, *(12, 10, 4)[:rank]).double(),
    )
    holds(network, x)
    at = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(network(at)[0, 2], at)
    torch.testing.assert_close(affine_map(network, x).row(2), gradient[0], **EXACT)


KERNELS = [partial(SpectralNonlocal, kernel=kernel) for kernel in ("dot", "exp", "relu", "sigmoid")]


@pytest.mark.parametrize(
    "block", [*KERNELS, partial(SpectralNonlocal, order=3), Nonlocal, CrissCross, GlobalContext, SqueezeExcitation]
)
def test_graphs_contexts_and_gates_are_held(block):
    holds(plugged(block), torch.randn(1, 3, 12, 10).double())


class Parts(nn.Module):
    """Activations that write over their input, poolings of maxima, and norms over several axes."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8), nn.SiLU(inplace=True), nn.MaxPool2d(3, 2, 1))
        self.rest = nn.Sequential(nn.Conv2d(8, 8, 1), nn.Hardswish(), nn.AdaptiveMaxPool2d(2), nn.Flatten())
        self.end = nn.Sequential(nn.RMSNorm(32), nn.Linear(32, 6), nn.Tanh(), nn.LayerNorm(6), nn.Linear(6, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        before = self.rest[0](x)
        return self.end(self.rest[1:](before + torch.relu_(before)))


def test_what_writes_over_its_input_maxima_and_norms_are_held():
    holds(trained(Parts()), torch.randn(1, 3, 12, 10).double())


@pytest.mark.parametrize("fused", [True, False])
def test_attention_is_held_fused_and_written_out(fused):
    network = timm.create_model("vit_tiny_patch16_224", num_classes=5, img_size=32, depth=1, embed_dim=24, num_heads=2)
    for block in network.blocks:
        block.attn.fused_attn = fused
    holds(trained(network), torch.randn(1, 3, 32, 32).double())


def test_a_network_is_left_as_it_was():
    network = plugged(SpectralNonlocal).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    x, state = torch.randn(1, 3, 12, 10).double(), torch.get_rng_state()
    affine_map(network, x)
    assert network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_product_of_two_maps_is_refused_by_its_name():
    with pytest.raises(ValueError, match=r"PolynomialBranch at layer2\.\S+ is not linear"):
        affine_map(plugged(PolynomialBranch), torch.randn(1, 3, 12, 10).double())


class Noisy(nn.Linear):
    """Something else at each run."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.randn(())


def test_a_network_that_differs_from_run_to_run_is_refused():
    with pytest.raises(ValueError, match=r"no affine map .* Noisy at 1 is not linear"):
        affine_map(nn.Sequential(nn.Flatten(), Noisy(12, 3)), torch.randn(1, 3, 4))

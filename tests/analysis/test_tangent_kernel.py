"""The tangent kernel: inner products of gradients, and what a small step changes, of networks that stay as they are."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from blockyard.analysis.tangent_kernel import tangent_kernel
from blockyard.backbones import PreResNet


def samples(n=4):
    return list(torch.randn(n, 1, 3, 8, 8, generator=torch.Generator().manual_seed(0)))


def test_of_a_linear_map_it_is_the_inputs_inner_products_and_one_of_the_bias():
    x = torch.randn(5, 3, dtype=torch.float64)
    found = tangent_kernel(nn.Linear(3, 2), list(x[:, None]))
    torch.testing.assert_close(found, (x @ x.T + 1).expand(2, 5, 5))


def test_a_small_step_for_one_sample_moves_the_others_by_the_kernel():
    """f_k(x') changes by η Θ_k(x, x') along η ∂f_k(x) / ∂θ, to second order in η."""
    network = PreResNet(num_classes=3, depth=8).double().eval()
    x = [one.double() for one in samples(3)]
    found = tangent_kernel(network, x)
    rate, moved = 1e-7, copy.deepcopy(network)
    gradients = torch.autograd.grad(network(x[0])[0, 2], list(network.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(moved.parameters(), gradients, strict=True):
            parameter += rate * gradient
        change = torch.stack([(moved(one) - network(one))[0, 2] for one in x]) / rate
    torch.testing.assert_close(change, found[2, 0], rtol=1e-4, atol=1e-4 * found[2].diagonal().max().item())


def test_it_is_symmetric_and_positive():
    found = tangent_kernel(PreResNet(num_classes=3, depth=8), samples())
    torch.testing.assert_close(found, found.mT)
    assert (torch.linalg.eigvalsh(found) > -1e-12 * found.diagonal(dim1=1, dim2=2).sum(1)[:, None]).all()


def test_weights_statistics_modes_and_random_streams_stay():
    network = nn.Sequential(PreResNet(num_classes=3, depth=8), nn.Dropout()).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(7)
    state = torch.get_rng_state()
    tangent_kernel(network, samples(2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
    assert all(one.grad is None and one.dtype == torch.float32 for one in network.parameters())


def test_what_is_frozen_has_no_part_in_it():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1, bias=False)).double()
    network[0].requires_grad_(False)
    x = torch.randn(3, 3, dtype=torch.float64)
    hidden = network[:2](x)
    torch.testing.assert_close(tangent_kernel(network, list(x[:, None]))[0], hidden @ hidden.T)
    with pytest.raises(ValueError, match="no parameter of the network learns"):
        tangent_kernel(network.requires_grad_(False), list(x[:, None]))


def test_a_diverged_network_is_told():
    network = nn.Linear(2, 1)
    with pytest.raises(FloatingPointError, match="diverged"):
        tangent_kernel(network, [torch.full((1, 2), torch.inf)])

"""Evidence sums to the logits, is nobody's where nothing is, and is the gradient where there are no biases."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.analysis.evidence import evidence
from blockyard.backbones import InterpretableCNN, PreResNet
from blockyard.blocks import ECA
from blockyard.plugging import plug

EXACT = {"rtol": 1e-10, "atol": 1e-12}
"""float64, other orders of sums."""


def trained() -> InterpretableCNN:
    """Weights and statistics of which none is neutral."""
    torch.manual_seed(0)
    network = InterpretableCNN(3, 5, width=4, kernel_size=8)
    network.batchnorm.running_mean.normal_()
    network.batchnorm.running_var.uniform_(0.5, 2)
    for parameter in network.batchnorm.parameters():
        nn.init.normal_(parameter, 0.5, 0.3)
    return network


def test_it_sums_to_the_logit_less_a_constant_of_the_network():
    network, x = trained(), torch.randn(2, 5, 30)
    found = evidence(network, x)
    assert found.values.shape == (2, 3, 5, 30)
    torch.testing.assert_close(found.logits, network.double().eval()(x.double()).detach(), **EXACT)
    torch.testing.assert_close(found.values.sum((2, 3)), found.logits - found.bias, **EXACT)


def test_the_constant_is_the_logit_of_what_the_rectifier_stops():
    network, x = trained(), torch.randn(2, 5, 30)
    with torch.no_grad():
        network.depthwise.bias.fill_(-100)
    found = evidence(network, x)
    torch.testing.assert_close(found.logits, found.bias.expand(2, 3), **EXACT)
    assert not found.values.any()


def test_without_biases_of_convolutions_it_is_the_gradient_times_the_value():
    network, x = trained(), torch.randn(1, 5, 30, dtype=torch.float64)
    nn.init.zeros_(network.pointwise.bias)
    nn.init.zeros_(network.depthwise.bias)
    found, x = evidence(network, x), x.requires_grad_()
    for k in range(3):
        (gradient,) = torch.autograd.grad(network.double().eval()(x)[0, k], x)
        torch.testing.assert_close(found.values[0, k], (gradient * x)[0].detach(), **EXACT)


def test_an_electrode_without_weight_has_only_its_part_of_the_biases():
    network, x = trained(), torch.randn(1, 5, 30)
    with torch.no_grad():
        network.pointwise.weight[:, 2] = 0
        network.pointwise.weight[:, 3] = 0
    found = evidence(network, x).values[0]
    torch.testing.assert_close(found[:, 2], found[:, 3], **EXACT)
    assert not torch.allclose(found[:, 0], found[:, 2])


def test_a_network_is_left_as_it_was():
    network = trained().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    evidence(network, torch.randn(2, 5, 30))
    assert network.training
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_what_can_t_be_drawn_back_is_refused():
    with pytest.raises(ValueError, match="PreResNet can't be drawn back exactly; InterpretableCNN can"):
        evidence(PreResNet(3, 5, spatial_dims=1), torch.zeros(1, 5, 30))
    network = plug(trained(), ECA, "stage1", example=(1, 5, 30), quiet=True)
    with pytest.raises(ValueError, match="Plugged at batchnorm is not drawn back"):
        evidence(network, torch.zeros(1, 5, 30))
    with pytest.raises(ValueError, match="Identity at fc is not drawn back"):
        evidence(trained().trunk(), torch.zeros(1, 5, 30))

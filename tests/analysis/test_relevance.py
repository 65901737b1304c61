"""Relevance: conserved where nothing is added from outside, gradient × input at ε → 0, none of what is dead."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from blockyard.analysis.relevance import relevance
from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.blocks import Nonlocal, SpectralNonlocal

RULES = ("epsilon", "alpha_beta", "z_plus")


def unbiased(network: nn.Module) -> nn.Module:
    """Nothing but weights, with statistics that norms have not been given."""
    for module in network.modules():
        if isinstance(getattr(module, "bias", None), nn.Parameter):
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 2)
            module.running_var.uniform_(0.5, 2)
    return network.double().eval()


@pytest.fixture
def networks():
    torch.manual_seed(0)
    return [
        (unbiased(PreResNet(5, 2, depth=8, spatial_dims=rank)), torch.rand(2, 2, *(8,) * rank).double())
        for rank in (1, 2, 3)
    ] + [(unbiased(TimmBackbone(5, 3, name="resnet18")), torch.rand(2, 3, 32, 32).double())]


@pytest.mark.parametrize("rule", RULES)
def test_relevance_is_conserved(networks, rule):
    for network, x in networks:
        convolutions = [path for path, m in network.named_modules() if path.endswith("conv1") and "layer" not in path]
        found = relevance(network, x, torch.tensor([1, 3]), rule, epsilon=1e-13, at=convolutions)
        total = found.start.sum(1)
        assert total.abs().min() > 1e-4
        torch.testing.assert_close(found.input.flatten(1).sum(1), total, rtol=1e-5, atol=1e-8)
        for path in convolutions:
            torch.testing.assert_close(found.maps[path].flatten(1).sum(1), total, rtol=1e-5, atol=1e-8)


def test_without_epsilon_it_is_gradient_times_input(networks):
    for network, x in networks:
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(network(x)[:, 2].sum(), x)
        found = relevance(network, x, torch.tensor([2, 2]), "epsilon", epsilon=0)
        torch.testing.assert_close(found.input, (gradient * x).detach(), rtol=1e-9, atol=1e-12)


def test_a_gate_lets_relevance_pass_and_takes_none():
    torch.manual_seed(0)
    network, x = unbiased(timm.create_model("legacy_seresnet18", num_classes=3)), torch.rand(1, 3, 32, 32).double()
    found = relevance(network, x, rule="z_plus", epsilon=1e-13)
    torch.testing.assert_close(found.input.sum(), found.start.sum(), rtol=1e-6, atol=1e-10)


@pytest.mark.parametrize("rule", RULES)
def test_rules_by_hand(rule):
    """y = 3·2 − 1·4 = 2; contributions 6 and −4."""
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[3.0, -1.0]])
    found = relevance(layer, torch.tensor([[2.0, 4.0]]), rule=rule, epsilon=0)
    expected = {"epsilon": [6.0, -4.0], "alpha_beta": [2 * 2.0, -1 * 2.0], "z_plus": [2.0, 0.0]}
    assert found.input.tolist() == [pytest.approx(expected[rule])]


@pytest.mark.parametrize("rule", RULES)
def test_a_dead_filter_has_none(rule):
    torch.manual_seed(0)
    network = PreResNet(5, 1, depth=8).eval()
    network.layer1[0].conv1.weight.data[3] = 0
    nn.init.normal_(network.layer1[0].bn2.bias)
    found = relevance(network, torch.rand(2, 1, 8, 8), rule=rule, at=["layer1.0.conv1"]).maps["layer1.0.conv1"]
    sums = found.abs().sum((0, 2, 3))
    assert sums[3] == 0
    assert (sums > 0).sum() > 6


def test_unit_relevance_starts_with_one_a_sample_and_leaves_no_trace():
    torch.manual_seed(0)
    network, x = PreResNet(5, 1, depth=8), torch.rand(2, 1, 8, 8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    found = relevance(network, x, torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]), unit=True)
    assert found.start.tolist() == [[0.5, 0.5, 0, 0, 0], [0, 0, 1, 0, 0]]
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_can_not_be_asked_is_refused():
    with pytest.raises(ValueError, match="gives no logits"):
        relevance(nn.Conv2d(1, 2, 1), torch.rand(1, 1, 4, 4))
    with pytest.raises(ValueError, match="no rule x"):
        relevance(nn.Linear(2, 2), torch.rand(1, 2), rule="x")
    norm = nn.BatchNorm1d(2, track_running_stats=False)
    with pytest.raises(ValueError, match="running statistics"):
        relevance(nn.Sequential(norm, nn.Linear(2, 2)), torch.rand(3, 2))


@pytest.mark.parametrize("block", [SpectralNonlocal, Nonlocal])
def test_an_affinity_passes_relevance_on_as_numbers(block):
    """Also where the block is one function in training, which no rule would see into."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), block(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3, bias=False)
    ).double()
    nn.init.ones_(network[1].filters[0].norm.weight)
    found = relevance(network, torch.randn(2, 1, 34, 34, dtype=torch.float64), epsilon=0.0)
    torch.testing.assert_close(found.input.flatten(1).sum(1), found.start.sum(1))
    assert network[1].affinity.evaluation == "auto"

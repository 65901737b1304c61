"""Parameters, MACs by one definition, throughput, memory."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from blockyard import plug
from blockyard.backbones import Framewise, PreResNet
from blockyard.blocks import Nonlocal, SpectralNonlocal
from blockyard.costs import (
    Cost,
    added_cost,
    count_macs,
    count_parameters,
    measure_throughput,
    saved_activation_bytes,
)
from blockyard.plugging import PlugError, sites


def test_macs_of_layers_by_hand():
    assert count_macs(nn.Conv2d(3, 8, 3, 2, 1), (3, 10, 12)) == 5 * 6 * 8 * 3 * 9
    assert count_macs(nn.Conv2d(8, 8, 3, 1, 1, groups=4), (8, 5, 5)) == 25 * 8 * 2 * 9
    assert count_macs(nn.ConvTranspose2d(4, 6, 2, 2), (4, 5, 5)) == 25 * 4 * 6 * 4
    assert count_macs(nn.Linear(7, 5), (7,)) == 35
    assert count_macs(nn.Sequential(nn.BatchNorm2d(4), nn.ReLU()), (4, 5, 5)) == 0


def test_macs_of_a_published_network():
    # torchvision states 4.089 G for its ResNet-50 at 224, the same layers as timm's
    assert count_macs(timm.create_model("resnet50"), (3, 224, 224)) == pytest.approx(4.089e9, rel=1e-3)


class Products(nn.Module):
    """Attention, and the matrix products that torch's own counter passes over."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c = x.shape[-1]
        if self.kind == "fused":
            return F.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None, :, : c // 2])
        if self.kind == "plain":
            return (x @ x.mT) @ x[..., : c // 2]
        if self.kind == "mv":
            return torch.mv(x[0], x[0, 0])
        if self.kind == "addmv":
            return F.linear(x[0, 0], x[0], x[0, :, 0])
        return torch.dot(x[0, 0], x[0, 1])


@pytest.mark.parametrize(
    ("kind", "macs"),
    [("fused", 20 * 20 * 12), ("plain", 20 * 20 * 12), ("mv", 20 * 8), ("addmv", 20 * 8), ("dot", 8)],
)
def test_matrix_products_count_however_they_are_computed(kind: str, macs: int):
    assert count_macs(Products(kind), (20, 8)) == macs


def test_attention_counts_inside_fused_layers():
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    n, c = 10, 16
    assert count_macs(layer, (n, c)) == n * (4 * c * c + 2 * 32 * c) + 2 * n * n * c


@pytest.mark.parametrize(("block", "parameters"), [(Nonlocal, 2_099_200), (SpectralNonlocal, 2_623_488)])
def test_what_a_plug_adds_is_what_the_plugged_network_has_more(block, parameters: int):
    shape = (3, 224, 224)
    network = timm.create_model("resnet50")
    site = {site.alias: site for site in sites(network)}["stage3.4"]
    cost = added_cost(site, block)
    assert site.output == (1024, 14, 14)
    assert cost.parameters == parameters
    before, macs = count_parameters(network), count_macs(network, shape)
    plug(network, block, "stage3.4", quiet=True)
    assert count_parameters(network) - before == cost.parameters
    assert count_macs(network, shape) - macs == cost.macs


@pytest.mark.parametrize("span", ["space-time", "per-frame", None])
@pytest.mark.parametrize("kind", ["after", "replace"])
def test_blocks_on_clips_are_counted_for_all_frames(span: str | None, kind: str):
    """A 2-D block runs on every frame of a clip, in a network of clips and in one that sees frame by frame."""
    shape = (3, 6, 64, 64)
    network = PreResNet(5, depth=8, spatial_dims=3) if span == "per-frame" else Framewise(5, name="resnet10t")
    at = "layer1.0.conv2"
    site = {site.path: site for site in sites(network, (1, *shape), mode=kind)}[at]
    cost = added_cost(site, Nonlocal, span)
    before, macs = count_parameters(network), count_macs(network, shape)
    plug(network, Nonlocal, f"{kind} {span or ''} {at}", example=(1, *shape), quiet=True)
    assert cost == Cost(count_parameters(network) - before, count_macs(network, shape) - macs)


def test_published_macs_of_a_nonlocal_block():
    # C = 1024, c = 512, N = 196: projections 4NCc, affinity and its product 2N²c; 0.450 G in the papers' units
    site = {site.alias: site for site in sites(timm.create_model("resnet50"))}["stage3.4"]
    assert added_cost(site, Nonlocal).macs == 4 * 196 * 1024 * 512 + 2 * 196**2 * 512


def test_a_replacement_is_counted_against_what_it_replaces():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1))
    found = {site.path: site for site in sites(network, (1, 3, 6, 6), mode="replace")}
    cost = added_cost(found["1"], lambda c, d: nn.Conv2d(c, c, 1))
    assert cost.parameters == (8 * 8 + 8) - (8 * 8 * 9 + 8)
    assert cost.macs == 36 * 8 * 8 * (1 - 9)
    with pytest.raises(ValueError, match="not divisible"):
        added_cost(found["1"], lambda c, d: SpectralNonlocal(c, d, reduction=3))
    vector = {site.path: site for site in sites(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten()), (1, 3, 4, 4))}["1"]
    with pytest.raises(PlugError, match="not a map"):
        added_cost(vector, SpectralNonlocal)


def test_measuring_changes_nothing():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Dropout()).train()
    before, rng = {k: v.clone() for k, v in network.state_dict().items()}, torch.get_rng_state()
    count_macs(network, (3, 8, 8))
    assert measure_throughput(network, (3, 8, 8), 4, repeats=3, warm_up=1) > 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(module.training for module in network.modules())


def test_saved_activations_of_known_graphs():
    x = torch.randn(4, 8, 10, 10, requires_grad=True)
    weight = nn.Parameter(torch.randn(8, 8))
    size = x.numel() * 4
    assert saved_activation_bytes(lambda: x.exp()) == size  # its output
    assert saved_activation_bytes(lambda: x.exp().exp()) == 2 * size
    assert saved_activation_bytes(lambda: (x * x).sum()) == size  # one storage, saved twice
    assert saved_activation_bytes(lambda: x + 1) == 0
    assert saved_activation_bytes(lambda: x.flatten(2)[0].mT @ weight) == size  # not the parameter


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("of", ["parameter", "view"])
def test_what_a_module_does_with_the_parameter_of_another_is_counted(of, mode):
    """Queries, tokens and prompts are such."""

    class Within(nn.Module):
        def forward(self, x):
            return x @ x.T

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.queries, self.within = nn.Parameter(torch.randn(4, 8)), Within()

        def forward(self, x):
            return x.mean() + self.within(self.queries if of == "parameter" else self.queries[None][0])

    with mode():
        assert count_macs(Network(), (1, 2, 2)) == 4 * 4 * 8

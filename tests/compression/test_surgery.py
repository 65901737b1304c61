"""What is cut does what was masked, in every kind of network; what can't be cut so is left whole or refused."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import nn

from blockyard.backbones import PreResNet, SimpleNet, TimmBackbone
from blockyard.blocks import CrissCross, DoubleAttention, SqueezeExcitation
from blockyard.compression.masking import masked
from blockyard.compression.sizes import rebuild, sizes_of, smaller
from blockyard.compression.surgery import measured, prunable, prune
from blockyard.plugging import plug

pytest.importorskip("torch_pruning")


def lively(network: nn.Module) -> nn.Module:
    """Norms that are not what they begin as: what is wrong with a shift or a statistic would not show."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.3)
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


NETWORKS = {
    "rank 1": (lambda: PreResNet(5, 2, depth=8, spatial_dims=1), (2, 16)),
    "rank 2": (lambda: PreResNet(5, 2, depth=8, spatial_dims=2), (2, 16, 16)),
    "rank 3": (lambda: PreResNet(5, 2, depth=8, spatial_dims=3), (2, 4, 8, 8)),
    "plain": (lambda: SimpleNet(5, 3), (3, 32, 32)),
    "resnet18": (lambda: TimmBackbone(5, 3, name="resnet18"), (3, 32, 32)),
    "depthwise and gates": (lambda: TimmBackbone(5, 3, name="mobilenetv3_small_050"), (3, 32, 32)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_equals_masked_and_its_sizes_rebuild_it(name):
    made, shape = NETWORKS[name]
    network, x = lively(made()), torch.rand(2, *shape)
    groups = prunable(network, x)
    assert not [group for group in groups if group.closed]
    gone = {group.name: range(1, group.size - 1, 2) for group in groups}
    with torch.no_grad():
        whole = network(x)
        part = prune(network, groups, gone, x)
        with masked(network, groups, gone):
            expected = network(x)
        assert torch.equal(network(x), whole)
        assert (part(x) - expected).abs().max() <= 1e-5 * expected.abs().max()
        assert not torch.allclose(expected, whole)
        sizes = smaller(sizes_of(network), sizes_of(part))
        assert sizes_of(measured(network, groups, gone, x)) == sizes_of(part)
        again = lively(made())
        rebuild(again, sizes, x[:1])
        again.load_state_dict(part.state_dict())
        assert torch.equal(again(x), part(x))
    assert [stage.channels for stage in again.stages] == [len(m[0]) for m in copy.deepcopy(again).features(x)]


def test_of_a_transformer_the_hidden_channels_alone_can_go():
    network = timm.create_model("vit_tiny_patch16_224", depth=2, img_size=32, num_classes=5).eval()
    x = torch.rand(2, 3, 32, 32)
    groups = prunable(network, x)
    assert {group.name for group in groups if not group.closed} == {f"blocks.{i}.mlp.fc1" for i in range(2)}
    prune(network, groups, {"blocks.0.mlp.fc1": range(100)}, x)


def test_a_block_goes_along_with_the_map_that_it_sees():
    network = lively(PreResNet(5, 1, depth=8))
    plug(network, SqueezeExcitation, "stage2.0")
    x = torch.rand(2, 1, 16, 16)
    groups = prunable(network, x)
    part = prune(network, groups, {group.name: range(group.size // 2) for group in groups if not group.closed}, x)
    assert part.layer2[0].block.channels == 16


def test_a_block_that_can_not_keeps_its_channels_and_is_named():
    network = lively(PreResNet(5, 1, depth=8))
    plug(network, DoubleAttention, "stage2.0")
    closed = {group.name: group.closed for group in prunable(network, torch.rand(2, 1, 8, 8)) if group.closed}
    assert any("DoubleAttention at layer2.0" in reason for reason in closed.values())


@pytest.mark.slow
def test_a_graph_that_has_no_end_is_refused():
    network = PreResNet(5, 1, depth=8)
    plug(network, CrissCross, "stage2.0")
    with pytest.raises(ValueError, match="can't follow PreResNet with CrissCross"):
        prunable(network, torch.rand(2, 1, 8, 8))


def test_sizes_that_are_not_of_the_network_are_refused():
    network, x = PreResNet(5, 1, depth=8), torch.rand(1, 1, 8, 8)
    with pytest.raises(ValueError, match="no layer conv7"):
        rebuild(network, {"conv7": [1, 1]}, x)
    with pytest.raises(ValueError, match="can't become one of"):
        rebuild(network, {"conv1": [17, 1]}, x)
    with pytest.raises(ValueError, match="do not go together"):
        rebuild(network, {"conv1": [8, 1]}, x)


def test_a_last_channel_stays():
    network, x = lively(PreResNet(5, 1, depth=8)), torch.rand(2, 1, 8, 8)
    groups = prunable(network, x)
    with pytest.raises(ValueError, match=f"all 16 channels of {groups[0].name} would go"):
        prune(network, groups, {groups[0].name: range(16)}, x)

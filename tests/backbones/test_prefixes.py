"""A prefix is the network that was built that small, and the whole network whose other channels give nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from blockyard.backbones import Backbone, PreResNet, SimpleNet, Stage, TimmBackbone
from blockyard.backbones.prefixes import WHOLE, corner, prefix_of
from blockyard.blocks import ECA, SelectiveDepth
from blockyard.plugging import plug


def settled(network: Backbone) -> Backbone:
    """In double precision, with norms that are no identity."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.weight, module.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (module.bias, module.running_mean):
                nn.init.uniform_(tensor, -0.5, 0.5)
    return network.double().eval()


def x(*shape: int) -> torch.Tensor:
    return torch.randn(2, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


class TestWidth:
    @pytest.mark.parametrize(("depth", "rank", "shape"), [(20, 2, (1, 9, 8)), (8, 1, (1, 13)), (8, 3, (1, 4, 8, 6))])
    def test_is_the_network_built_that_narrow(self, depth, rank, shape):
        """Bit for bit: the same layers in the same order."""
        whole = settled(PreResNet(10, 1, depth=depth, spatial_dims=rank))
        narrow = PreResNet(10, 1, depth=depth, spatial_dims=rank, width=8).double().eval()
        weights = whole.state_dict()
        narrow.load_state_dict({name: corner(weights[name], own.shape) for name, own in narrow.state_dict().items()})
        part = prefix_of(whole, (0.5, 1.0))
        assert part.stages == narrow.stages
        assert part.state_dict().keys() == narrow.state_dict().keys()
        assert torch.equal(part(x(*shape)), narrow(x(*shape)))

    def test_is_the_whole_network_whose_other_channels_are_nothing(self):
        """Zero behind every norm, as all layers but the classifier have one in a ResNet: float64 sums otherwise."""
        whole = settled(TimmBackbone(10, 3, "test_resnet"))
        part = prefix_of(whole, (0.5, 1.0))
        assert [stage.channels for stage in part.stages] == [stage.channels // 2 for stage in whole.stages]
        for module in whole.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias):
                    tensor.data[module.num_features // 2 :] = 0
        torch.testing.assert_close(part(x(3, 32, 32)), whole(x(3, 32, 32)), rtol=1e-10, atol=1e-12)

    def test_fractions_are_rounded_and_a_channel_is_left(self):
        with torch.device("meta"):
            whole = PreResNet(10, 1, depth=8, width=5)
        assert [stage.channels for stage in prefix_of(whole, (0.3, 1.0)).stages] == [2, 3, 6]
        assert [stage.channels for stage in prefix_of(whole, (0.01, 1.0)).stages] == [1, 1, 1]


class TestDepth:
    def test_is_the_network_built_that_shallow(self):
        whole = settled(TimmBackbone(10, 3, "test_resnet", layers=[2, 3, 1, 2]))
        shallow = TimmBackbone(10, 3, "test_resnet", layers=[1, 2, 1, 1]).double().eval()
        weights = whole.state_dict()
        shallow.load_state_dict({name: weights[name] for name in shallow.state_dict()})
        part = prefix_of(whole, (1.0, 0.5))
        assert part.state_dict().keys() == shallow.state_dict().keys()
        assert torch.equal(part(x(3, 32, 32)), shallow(x(3, 32, 32)))

    def test_blocks_stay_or_go_with_their_unit(self):
        whole = PreResNet(10, 1, depth=20)
        plug(whole, ECA, at=["stage1.0", "stage2.2"])
        names = prefix_of(whole, (1.0, 1 / 3)).state_dict()
        assert [name for name in names if ".block." in name] == ["layer1.0.block.conv.weight"]


def test_the_whole_is_a_copy():
    whole = settled(PreResNet(10, 1, depth=8))
    part = prefix_of(whole, WHOLE)
    assert torch.equal(part(x(1, 8, 8)), whole(x(1, 8, 8)))
    assert part.conv1.weight is not whole.conv1.weight


class Grouped(PreResNet):
    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes, depth=8)
        self.layer1[0].conv2 = nn.Conv2d(16, 16, 3, 1, 1, groups=4)


def with_block(mode: str) -> PreResNet:
    network = PreResNet(10, 1, depth=20)
    plug(network, SelectiveDepth if mode == "around" else ECA, at="stage2", mode=mode)
    return network


@pytest.mark.parametrize(
    ("network", "prefix", "said"),
    [
        (lambda: SimpleNet(10, 1), (0.5, 1.0), "SimpleNet has none: take PreResNet, or a ResNet of TimmBackbone"),
        (lambda: TimmBackbone(10, 3, "test_vit"), (0.5, 1.0), "VisionTransformer has none"),
        (lambda: Grouped(10, 1), (0.5, 1.0), "Conv2d at layer1.0.conv2 can't be narrowed: leave all widths at 1"),
        (lambda: with_block("after"), (0.5, 1.0), "the block at layer2 can't be narrowed"),
        (lambda: with_block("around"), (1.0, 0.5), "leave mode around away"),
        (lambda: PreResNet(10, 1), (0.0, 1.0), "each above 0 and up to 1, got [0.0, 1.0]"),
        (lambda: PreResNet(10, 1), (0.5,), "prefix must be a width and a depth"),
    ],
)
def test_what_has_no_such_prefix(network, prefix, said, one_line):
    with pytest.raises(ValueError, match="prefix") as refusal:
        prefix_of(network(), prefix)
    one_line(refusal, said)


def test_stages_are_those_of_the_prefix():
    with torch.device("meta"):
        part = prefix_of(PreResNet(10, 1, depth=20), (0.25, 0.5))
    assert part.stages == (Stage("layer1", 4, 1), Stage("layer2", 8, 2), Stage("layer3", 16, 4))

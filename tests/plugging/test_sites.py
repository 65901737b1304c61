"""Which places and networks take no block, and that each is refused in one line."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.blocks import Nonlocal, SpectralNonlocal
from blockyard.plugging import PlugError


class Odd(nn.Module):
    """Every kind of place that takes no block."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)
        self.relu = nn.ReLU()
        self.pair = Pair()
        self.unused = nn.Conv2d(8, 8, 1)
        self.twin_a = self.twin_b = nn.Identity()
        self.wide = nn.Conv2d(8, 16, 1)
        self.up = nn.Upsample(scale_factor=2)
        self.add = Sum()
        self.last = ChannelsLast()
        self.best = Best()
        self.alias = [nn.Identity()]
        self.hidden = self.alias[0]
        self.pool = nn.AdaptiveAvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.relu(self.conv(x)))
        x = self.add(self.pair(x)[0], x)
        self.last(x), self.best(x), self.twin_a(x), self.alias[0](x)
        return self.pool(self.wide(self.up(x)))


class Pair(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x


class Sum(nn.Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return x + y


class ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(1, -1)


class Best(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(1, keepdim=True)


class NeedsHost(nn.Module):
    def __init__(self, channels: int, spatial_dims: int, *, host: nn.Module) -> None:
        super().__init__()


class Wider(nn.Module):
    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2 * channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class OnlyVideo(SpectralNonlocal):
    ranks = (3,)


@pytest.mark.parametrize(
    ("block", "at", "mode", "why"),
    [
        (SpectralNonlocal, "relu", "after", "runs 2 times"),
        (SpectralNonlocal, "unused", "after", "runs 0 times"),
        (SpectralNonlocal, "pair", "after", "gives a tuple, not a tensor"),
        (SpectralNonlocal, "last", "after", "channels last"),
        (SpectralNonlocal, "best", "after", "torch.int64"),
        (SpectralNonlocal, "pool", "after", "size does not follow the input"),
        (SpectralNonlocal, "twin_a", "after", "same module as twin_b"),
        (SpectralNonlocal, "hidden", "after", "by another name"),
        (SpectralNonlocal, "add", "replace", "not called with one tensor"),
        (SpectralNonlocal, "wide", "replace", "8 channels to 16, and SpectralNonlocal keeps them"),
        (SpectralNonlocal, "up", "replace", "is not a stride"),
        (SpectralNonlocal, ["conv", "relu", "unused"], "after", r"runs 2 times .* \(and 1 more refused\)"),
        (NeedsHost, "conv", "after", "mode='replace'"),
        (Wider, "conv", "after", "instead of"),
        (OnlyVideo, "conv", "after", "spatial_dims must be one of"),
        (functools.partial(Nonlocal, reduction=3), "conv", "after", "not divisible by reduction=3"),
        (functools.partial(SpectralNonlocal, wrong=1), "conv", "after", "unexpected keyword argument 'wrong'"),
        (SpectralNonlocal, "cnv", "after", "near: conv"),
        (SpectralNonlocal, [], "after", "at is empty"),
        (SpectralNonlocal, "conv", "before", "mode must be 'after', 'replace', 'around', got 'before'"),
    ],
)
def test_refusals_are_one_line_and_leave_the_network_alone(block, at, mode, why):
    network = Odd()
    modules, before = dict(network.named_modules()), list(network.state_dict())
    with pytest.raises(PlugError, match=why) as error:
        plug(network, block, at, mode=mode, quiet=True)
    assert "\n" not in str(error.value)
    assert dict(network.named_modules()) == modules
    assert list(network.state_dict()) == before


def test_compiled_and_wrapped_networks_are_refused():
    network = PreResNet(10)
    with pytest.raises(PlugError, match="is compiled"):
        plug(torch.compile(network), SpectralNonlocal, "layer1", quiet=True)
    wrapped = copy.deepcopy(network)
    wrapped.layer1 = torch.compile(wrapped.layer1)
    with pytest.raises(PlugError, match="layer1 of the network is compiled"):
        plug(wrapped, SpectralNonlocal, "layer2", quiet=True)
    wrapped = copy.deepcopy(network)
    wrapped.compile()
    with pytest.raises(PlugError, match="is compiled"):
        plug(wrapped, SpectralNonlocal, "layer2", quiet=True)
    with pytest.raises(PlugError, match="DataParallel"):
        plug(nn.DataParallel(network), SpectralNonlocal, "module.layer2", quiet=True)
    with pytest.raises(PlugError, match="TorchScript"):
        plug(torch.jit.script(nn.Sequential(nn.Conv2d(3, 8, 1))), SpectralNonlocal, "0", quiet=True)

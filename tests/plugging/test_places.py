"""What a pattern names: stock paths, globs, positions, stage aliases, through plugs made before."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet
from blockyard.plugging import PlugError, sites
from blockyard.plugging.places import select, walk


def paths(network: nn.Module, pattern: str) -> list[str]:
    return [place.path for place in select(network, pattern)]


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    return torchvision.models.resnet18()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("layer3.1", ["layer3.1"]),
        ("layer*", ["layer1", "layer2", "layer3", "layer4"]),
        ("layer3.*", ["layer3.0", "layer3.1"]),
        ("layer[12].-1.bn2", ["layer1.1.bn2", "layer2.1.bn2"]),
        ("stage3.-2", ["layer3.0"]),
        ("stage3", ["layer3"]),
        ("stage[34].0.bn1", ["layer3.0.bn1", "layer4.0.bn1"]),
        ("stage*.*.conv2", [f"layer{i}.{j}.conv2" for i in (1, 2, 3, 4) for j in (0, 1)]),
    ],
)
def test_patterns(resnet: nn.Module, pattern: str, expected: list[str]):
    assert paths(resnet, pattern) == expected


@pytest.mark.parametrize(
    ("pattern", "near"),
    [
        ("layr3.1", "layer3.1"),
        ("layer3.5", "layer3"),
        ("stage3.7", "stage3"),
        ("layer3.-5", "layer3"),
        ("zzz", "conv1"),
    ],
)
def test_no_match_lists_near_misses(resnet: nn.Module, pattern: str, near: str):
    with pytest.raises(PlugError, match="matches nothing in ResNet") as error:
        select(resnet, pattern)
    assert near in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("pattern", ["", "layer3..1", ".layer3"])
def test_not_a_path(resnet: nn.Module, pattern: str):
    with pytest.raises(PlugError, match="not a dotted path"):
        select(resnet, pattern)


def test_paths_keep_their_stock_meaning_after_plugging():
    network = PreResNet(10)
    stock = [place.path for place in walk(network)]
    for at in ("layer1.1", "layer1", "layer1.1", "layer1.1.conv2"):
        plug(network, _Shift, at, quiet=True)
    plug(network, _Shift, "layer2.1.conv1", mode="replace", quiet=True)
    assert [place.path for place in walk(network)] == stock
    assert [site.type for site in sites(network) if site.path == "layer1.1"] == ["BasicBlock"]


def test_own_backbone_names_its_stages():
    network = PreResNet(10)
    assert paths(network, "stage2.1") == ["layer2.1"]
    assert paths(network, "stage*") == ["layer1", "layer2", "layer3"]


class _Shift(nn.Module):
    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(channels, *[1] * spatial_dims))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.shift

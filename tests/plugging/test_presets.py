"""The papers' places by one word."""

from __future__ import annotations

import pytest
import timm
import torch

from blockyard import plug
from blockyard.backbones import PyTorchVideoBackbone
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_parameters
from blockyard.plugging import PRESETS, PlugError, Plugged


def plugged(network: torch.nn.Module) -> list[str]:
    return [name for name, module in network.named_modules() if isinstance(module, Plugged)]


def added(*channels: int) -> int:
    return sum(5 * c * (c // 2) + 2 * c for c in channels)


@pytest.mark.parametrize(("name", "first"), [("i3d_r50", 3), ("c2d_r50", 3), ("slow_r50", 2), ("csn_r101", 2)])
def test_video_networks(name: str, first: int):
    res3, res4 = f"net.blocks.{first}.res_blocks", f"net.blocks.{first + 1}.res_blocks"
    last = 22 if name == "csn_r101" else 5
    three = (6, 13, 20) if name == "csn_r101" else (1, 3, 5)
    places = {
        "one-in-res4": [f"{res4}.{last - 1}"],
        "five-in-res3-res4": [f"{res3}.1", f"{res3}.3", *(f"{res4}.{i}" for i in three)],
        "nvan-five": [f"{res3}.2", f"{res3}.3", *(f"{res4}.{i}" for i in (last - 2, last - 1, last))],
    }
    five = added(512, 512, 1024, 1024, 1024)
    grown = {"one-in-res4": added(1024), "five-in-res3-res4": five, "nvan-five": five}
    assert places.keys() == PRESETS.keys()
    for preset in PRESETS:
        with torch.device("meta"):
            network = PyTorchVideoBackbone(5, name=name)
        before = count_parameters(network)
        plug(network, SpectralNonlocal, preset, example=(1, 3, 8, 64, 64), quiet=True)
        assert plugged(network) == places[preset]
        assert count_parameters(network) - before == grown[preset]


def test_image_networks():
    with torch.device("meta"):
        network = timm.create_model("resnet50")
    plug(network, SpectralNonlocal, ["after one-in-res4"], quiet=True)
    assert plugged(network) == ["layer3.4"]


def test_mistakes_are_one_line():
    network = timm.create_model("resnet10t")
    cases = {
        "one-in-res5": "matches nothing.*did you mean one-in-res4",
        "one-in-res4": "^one-in-res4: at='stage3.-2' matches nothing",
        "five-in-res3-res4": "^five-in-res3-res4: stage2 has 1 units, too few for 2 blocks",
    }
    for at, why in cases.items():
        with pytest.raises(PlugError, match=why) as error:
            plug(network, SpectralNonlocal, at, quiet=True)
        assert "\n" not in str(error.value)
    assert plugged(network) == []

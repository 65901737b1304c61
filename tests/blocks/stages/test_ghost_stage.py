"""A ghost stage is the published one, to the parameter and to its numbers, whatever units the stock stage has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models.regnet import Bottleneck
from torch import nn

from blockyard import plug
from blockyard.backbones import PreResNet, TimmBackbone
from blockyard.backbones.preresnet import BasicBlock
from blockyard.blocks import GhostStage

PUBLISHED = {
    "regnetx_002": (["s3", "s4"], 1_825_440),
    "regnetx_032": (["s2", "s3"], 10_511_000),
    "regnetx_080": (["s2", "s3"], 24_586_928),
}
"""The stages of more than two units, and the parameters of the network with theirs replaced."""


def stage(units: int = 4, rank: int = 2) -> nn.Sequential:
    return nn.Sequential(BasicBlock(4, 8, 2, rank), *(BasicBlock(8, 8, 1, rank) for _ in range(units - 1)))


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str):
    at, expected = PUBLISHED[name]
    with torch.device("meta"):
        network = timm.create_model(name)
        for path in at:
            host = network.get_submodule(path)
            channels = host.b1.conv1.conv.in_channels
            network.set_submodule(path, GhostStage(channels, host=host))
    assert sum(p.numel() for p in network.parameters()) == expected


def test_published_weights_give_the_published_codes_numbers(drawn_by_name):
    """Names, shapes and numbers are those of the paper's code (g_ghost_regnet.py of f90e129), in float64."""
    golden = json.loads(Path(__file__).with_name("ghost_stage.json").read_text())
    own = {"base": "first", "layers": "between", "end": "last", "cheap": "cheap"}
    file = {}
    for name, shape in golden["shapes"].items():
        key = re.sub(r"^\w+", lambda found: own.get(found[0], found[0]), name)
        key = re.sub(r"^merge\.(\d)", lambda found: f"mix.{int(found[1]) - 1}", key)
        key = re.sub(r"(conv|bn)(\d)\.", r"conv\2.\1.", key)
        key = re.sub(r"downsample\.(\d)\.", lambda found: f"downsample.{('conv', 'bn')[int(found[1])]}.", key)
        value = drawn_by_name(name, shape)
        file[key] = value.flatten(1) if key.startswith("mix") and value.dim() == 4 else value
    sizes = [(12, 2), (24, 1), (24, 1), (24, 1)]
    host = nn.Sequential(
        *(Bottleneck(channels, 24, stride=stride, group_size=8, se_ratio=0) for channels, stride in sizes)
    )
    block = GhostStage(12, host=host)
    missing, unexpected = block.load_state_dict(file, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 12, 8, 10)))
    found = block.double().eval()(x).flatten()[::48]
    torch.testing.assert_close(found.detach(), torch.tensor(golden["every 48th"], dtype=torch.float64))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_first_and_last_unit_are_the_stocks_and_what_is_between_is_narrow(rank: int):
    host = stage(rank=rank)
    block = GhostStage(4, rank, ratio=0.25, host=host)
    assert torch.equal(block.first.conv1.weight, host[0].conv1.weight)
    assert torch.equal(block.last.conv2.weight, host[3].conv2.weight)
    assert [unit.conv1.weight.shape[:2] for unit in block.between] == [(6, 6), (6, 6)]
    assert host[1].conv1.weight.shape[:2] == (8, 8)
    x = torch.randn(2, 4, *(8, 6, 4)[:rank])
    assert block(x).shape == host(x).shape


def test_it_goes_into_any_network_whose_units_are_of_convolutions():
    own = plug(PreResNet(10, depth=20), GhostStage, "stage*", mode="replace", quiet=True)
    timms = plug(TimmBackbone(10, name="regnety_002"), GhostStage, "s4", mode="replace", quiet=True)
    assert all(network(torch.randn(2, 3, 64, 64)).shape == (2, 10) for network in (own, timms))


def test_where_there_is_no_room_for_a_group_there_is_one_group():
    host = nn.Sequential(*(nn.Conv2d(8, 8, 3, padding=1, groups=2) for _ in range(3)))
    block = GhostStage(8, ratio=0.75, host=host)
    assert block.between[0].weight.shape == (2, 2, 3, 3)
    assert block(torch.randn(2, 8, 5, 5)).shape == (2, 8, 5, 5)


@pytest.mark.parametrize(
    ("host", "options", "said"),
    [
        (stage(1), {}, "needs three units at least, and this stage has 1"),
        (stage(2), {}, "needs three units at least, and this stage has 2"),
        (stage(), {"ratio": 1}, "ratio must be between 0 and 1, got 1"),
        (stage(), {"ratio": 0.9}, "ratio=0.9 leaves none of 8 channels"),
        (nn.Sequential(*(nn.Conv2d(8, 8, 1) for _ in range(2)), nn.Linear(8, 8), nn.Conv2d(8, 8, 1)), {}, "a Linear"),
        (nn.Conv2d(4, 4, 1), {}, "needs units that run one after another"),
    ],
)
def test_what_makes_no_ghost_stage_is_refused(host: nn.Module, options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        GhostStage(4, host=host, **options)

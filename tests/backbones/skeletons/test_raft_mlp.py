"""RaftMLP has the published parameters, multiplications and numbers, in every rank and at other resolutions."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from blockyard.backbones import RaftMLP
from blockyard.backbones.skeletons.patches import MultiScalePatches
from blockyard.blocks import SpectralNonlocal
from blockyard.costs import count_macs
from blockyard.plugging import plug

PUBLISHED = {"raftmlp-small": 9_868_768, "raftmlp-medium": 21_413_632, "raftmlp-large": 36_184_672}
"""Parameters for 1000 classes."""
SMALL = partial(RaftMLP, depths=(1, 2), widths=(8, 12), patches=((2, 4), (2,)), input_size=16)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]


def test_multiplications_are_the_published_ones(configured):
    """2.101 G of RaftMLP-S, where a norm counts five for each value."""
    with torch.device("meta"):
        macs = count_macs(configured("raftmlp-small")(1000, 3), (3, 224, 224))
    stages = zip((2, 2, 6, 2), (64, 128, 256, 512), (56, 28, 14, 7), strict=True)
    normed = sum(3 * units * width * side**2 for units, width, side in stages) + 512 * 7**2
    assert macs + 5 * normed == 2_101_456_384


def test_weights_of_the_published_code_give_its_numbers(drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of libs/models.py of okojoalg/raft-mlp, 6060d5d, in float64.

    Drawn on 29 November 2026.
    """
    golden = json.loads(Path(__file__).with_name("raft_mlp.json").read_text())
    file = {name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}
    torch.save(file, tmp_path / "raft.pth")
    weights = {"input_size": 32, "weights": tmp_path / "raft.pth"}
    network = RaftMLP(5, 3, (1, 2, 1), (8, 12, 16), ((4, 8), (2, 4), (2,)), **weights)
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 32, 32)))
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    torch.testing.assert_close(network.double().eval()(x).detach(), expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages_for_any_input(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    for size in ((16, 16, 16), (7, 18, 20)):
        maps = network(torch.randn(2, 2, *size[:rank]))
        expected = [(channels, *(-(-n // s) for n in size[:rank])) for channels, s in ((8, 2), (12, 4))]
        assert [tuple(m.shape[1:]) for m in maps] == expected
        sum(m.square().sum() for m in maps).backward()
        assert all(p.grad is not None for p in network.parameters())
    assert [(stage.channels, stage.stride) for stage in network.stages] == [(8, 2), (12, 4)]


def test_a_unit_is_the_sum_that_it_says():
    unit = SMALL(3, 2).layer1[0].eval()
    x = torch.randn(2, 8, 8, 8)
    expected = x
    for branch in unit:
        expected = expected + branch.mixer(branch.norm(expected))
    torch.testing.assert_close(unit(x), expected)
    assert [getattr(branch.mixer, "axes", None) for branch in unit] == [(0,), (1,), None]


def test_patches_of_several_sizes_lie_around_the_same_places():
    """As one larger kernel, to whose middle the smaller one is added."""
    patches = MultiScalePatches(3, 5, 2, (4, 8)).double()
    small, large = (conv.weight for conv in patches.convs)
    x = torch.randn(2, 3, 10, 16, dtype=torch.float64)
    expected = F.conv2d(F.pad(x, (2, 2, 2, 4)), large + F.pad(small, (2, 2, 2, 2)), patches.convs[0].bias, 4)
    torch.testing.assert_close(patches(x), expected)


def test_what_is_pooled_is_normed():
    network = SMALL(3, 2).eval()
    last, logits = network.map_and_logits(x := torch.randn(2, 2, 16, 16))
    torch.testing.assert_close(last, network.norm(network.features(x)[-1]))
    torch.testing.assert_close(logits, network.fc(last.mean((2, 3))))


def test_plugs_find_stages_units_and_mixers():
    places = ["layer1", "layer2.1.0.mixer"]
    network = plug(SMALL(3, 2), SpectralNonlocal, places, example=(1, 2, 16, 16), quiet=True)
    assert network(torch.randn(2, 2, 24, 16)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1,)}, "one value a stage, got 1, 2 and 2"),
        ({"depths": (1, 0)}, "depths and widths must be at least 1"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"patches": ((2, 3), (2,))}, r"differ by even numbers, got \[2, 3\]"),
        ({"input_size": [8]}, "input_size must be 2 positive numbers"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)

"""MAXIM of one stage has the published parameters and numbers, and takes inputs of any size."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from blockyard.backbones import MAXIM
from blockyard.backbones.skeletons.cross_gating import CrossGating
from blockyard.backbones.skeletons.maxim import Gather, resized
from blockyard.blocks.mixers.multi_axis import cut, mirrored

SMALL = partial(MAXIM, width=4, depth=1, sides=(4, 2, 2), bottoms=1)


@pytest.mark.parametrize(("name", "published"), [("maxim-s", 6_108_515), ("maxim-m", 19_361_219)])
def test_with_its_last_convolution_it_has_the_published_parameters(configured, name: str, published: int):
    """Those that models/maxim.py of google-research/maxim names for S-1 and M-1."""
    with torch.device("meta"):
        network = configured(name, "image_restoration")(0, 3)
        last = nn.Conv2d(network.stages[-1].channels, 3, 3)
    assert sum(p.numel() for part in (network, last) for p in part.parameters()) == published


def test_weights_give_the_numbers_of_the_published_code(fill_by_name, drawn_by_name):
    """What models/maxim.py of google-research/maxim at 3c82651 makes of these weights, under JAX in float64.

    Drawn on 30 November 2026: features=4, depth=2, num_stages=1, num_groups=1, num_bottleneck_blocks=1,
    high_res_stages=1, blocks and grids of 4×4, and of 2×2 below; what its last convolution adds to the picture.
    """
    golden = json.loads(Path(__file__).with_name("maxim.json").read_text())
    network = SMALL()
    fill_by_name(network)
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 8, 16, 3))).movedim(-1, 1)
    weight, bias = (drawn_by_name(f"output.{name}", shape).double() for name, shape in golden["output"].items())
    found = F.conv2d(network.double()(x)[-1], weight, bias, padding=1)
    # nine digits are kept
    torch.testing.assert_close(
        found[0].detach(), torch.tensor(golden["picture"], dtype=torch.float64), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_maps_are_those_of_the_mirrored_input_cut(rank: int):
    network = SMALL(spatial_dims=rank).double().eval()
    size = (6, 5, 3)[:rank]
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    whole = network(mirrored(x, [4] * rank))
    for found, of_whole, stage in zip(network(x), whole, network.stages, strict=True):
        expected = cut(of_whole, [-(-n // stage.stride) for n in size])
        assert found.shape[1] == stage.channels
        torch.testing.assert_close(found, expected)


def test_every_parameter_has_a_part_in_the_last_map(assert_learns):
    network = SMALL(5).double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    assert network(x).shape == (4, 5)
    assert_learns(network, lambda: network(x).square().mean())


def test_maps_shrink_as_torch_shrinks_pictures_and_grow_as_it_makes_them_grow():
    x = torch.randn(1, 2, 8, 12, dtype=torch.float64)
    for size in ((2, 3), (4, 12), (8, 12), (16, 24)):
        expected = F.interpolate(x, size, mode="bilinear", antialias=True)
        torch.testing.assert_close(resized(x, size), expected)
    gather = Gather([2, 2], 3).double()
    assert gather([x, resized(x, (4, 6))], (4, 6)).shape == (1, 6, 4, 6)


def test_each_map_is_multiplied_by_the_gate_that_the_other_makes():
    cross = CrossGating(6, 3, 4, 2, 2).double()
    x, y = torch.randn(1, 6, 4, 4, dtype=torch.float64), torch.randn(1, 3, 2, 2, dtype=torch.float64)
    up = cross.up(y)
    kept_x, values_x, gate_x = cross.gathered(x)
    kept_y, values_y, gate_y = cross.below(up)
    other = kept_y + cross.below.project(values_y * gate_x)
    one = kept_x + cross.gathered.project(values_x * gate_y) + other
    for found, expected in zip(cross(x, y), (one, other), strict=True):
        torch.testing.assert_close(found, expected)
    for side in (cross.gathered, cross.below):  # gates of one let all pass
        nn.init.zeros_(side.gate.project.weight)
        nn.init.ones_(side.gate.project.bias)
    alone = kept_y + cross.below.project(values_y)
    torch.testing.assert_close(cross(x, y)[1], alone)
    torch.testing.assert_close(cross(x, y)[0], kept_x + cross.gathered.project(values_x) + alone)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 6}, "width must be a multiple of 4, depth and bottoms at least 1, got 6, 1 and 1"),
        ({"bottoms": 0}, "got 4, 1 and 0"),
        ({"sides": (4,)}, r"sides must be at least two positive numbers, got \[4\]"),
        ({"spatial_dims": 4}, "spatial_dims must be one of 1, 2, 3, got 4"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(**options)

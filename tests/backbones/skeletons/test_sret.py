"""SReT has the published parameters, products and numbers; running a unit again adds none of the first."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from blockyard.backbones import SReT
from blockyard.blocks import PoolMixer, SlicedAttention, SpectralNonlocal
from blockyard.costs import count_macs, count_parameters
from blockyard.plugging import plug

PUBLISHED = {"sret-tiny": 4_755_979, "sret-light": 4_988_024, "sret-small": 20_899_692}
"""Parameters for 1000 classes."""
HEADS = partial(SlicedAttention, head_width=8, qkv_bias=True, bias=True)
SMALL = partial(
    SReT, depths=(2, 1, 1), widths=(8, 16, 32), mixers=[partial(HEADS, slices=n) for n in (8, 4, 1)], input_size=64
)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize(("name", "published"), [("sret-tiny", 1.122), ("sret-small", 4.191)])
def test_multiplications_are_the_published_ones(configured, name: str, published: float):
    """Their count has norms as well: two for each number of a batch norm, five of a layer norm, one of the mean."""
    with torch.device("meta"):
        network = configured(name)(1000, 3).eval()
        norms: list[int] = []
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                times = 2 if isinstance(module, nn.BatchNorm2d) else 5
                module.register_forward_hook(lambda _, __, y, times=times: norms.append(times * y.numel()))
        products = count_macs(network, (3, 224, 224)) + 7 * 7 * network.stages[-1].channels
    assert round((products + sum(norms)) / 1e9, 3) == published


def test_published_weights_give_the_published_numbers(drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of the paper's code (SReT.py of szq0214/SReT at af6db0a, with the order of
    ``shuffle`` in place of a drawn one), in float64 on 2026-11-29. Coefficients, which are biases by name, are 1 more.
    """
    golden = json.loads(Path(__file__).with_name("sret.json").read_text())
    file = {name: drawn_by_name(name, shape) + ("coefficient" in name) for name, shape in golden["shapes"].items()}
    file |= {again(name): tensor for name, tensor in file.items()}
    torch.save({"model": file}, tmp_path / "sret.pth")
    network = SMALL(5, weights=tmp_path / "sret.pth").double().eval()
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 64)))
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    torch.testing.assert_close(network(x).detach(), expected)


def again(name: str) -> str:
    """What the code calls the same tensor where a unit runs for the second time."""

    def second(found: re.Match[str]) -> str:
        return f"blocks.{int(found[1]) + 2 * (int(found[1]) % 4 == 0)}."

    return re.sub(r"blocks\.(\d+)\.", second, name)


def test_running_a_unit_again_adds_a_projection_and_no_other_parameter():
    once, twice = (SMALL(5, times=times) for times in (1, 2))
    # two linear maps with a bias, the scale and bias of a norm, and two numbers
    projections = {width: 2 * (width * width + width) + 2 * width + 2 for width in (8, 16, 32)}
    assert count_parameters(twice) - count_parameters(once) == 2 * projections[8] + projections[16] + projections[32]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int):
    network = SMALL(0, 2, spatial_dims=rank)
    size = (70, 33, 40)[:rank]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[2:]) for m in maps] == [tuple(-(-n // s) for n in size) for s in (8, 16, 32)]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_evaluation_repeats_and_training_shuffles():
    network, x = SMALL(5).train(), torch.randn(2, 3, 64, 64)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    with torch.no_grad():
        assert not torch.equal(network(x), network(x))
        network.eval()
        assert torch.equal(network(x), network(x))


def test_it_takes_pictures_of_another_size_blocks_and_mixers():
    network = plug(SMALL(3, 2), SpectralNonlocal, ["stage2", "layer1.0"], example=(1, 2, 64, 64), quiet=True)
    assert network(torch.randn(2, 2, 96, 80)).shape == (2, 3)
    assert SMALL(3, 2, mixers=PoolMixer)(torch.randn(2, 2, 64, 64)).shape == (2, 3)


def test_a_block_in_a_unit_runs_as_often_as_it():
    network, calls = plug(SMALL(3, 2), SpectralNonlocal, "layer1.0.unit", example=(1, 2, 64, 64), quiet=True), []
    network.get_submodule("layer1.0.unit").block.register_forward_hook(lambda *_: calls.append(1))
    network(torch.randn(1, 2, 64, 64))
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1,)}, "one positive number a stage"),
        ({"widths": (8, 12, 32)}, "each of the one before"),
        ({"spatial_dims": 4}, "one of 1, 2, 3"),
        ({"times": 0}, "times must be at least 1"),
        ({"slices_again": (0, 1, 1)}, "slices_again are one positive number a stage"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        SMALL(3, 2, **options)

"""One resolution is the networks of several papers, to the parameter and to their numbers, with any block as mixer."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from blockyard.backbones import Isotropic
from blockyard.backbones.skeletons.parts import Style
from blockyard.backbones.skeletons.patches import Patches, Positions
from blockyard.blocks import (
    ISTA,
    DepthwiseConvolution,
    GatedPositionalAttention,
    RandomMixer,
    SelfAttention,
    SpectralNonlocal,
    SubspaceSelfAttention,
)
from blockyard.plugging import plug
from blockyard.poolings import ISqrtCov

PUBLISHED = {
    "convit-tiny": 5_710_512,
    "convit-small": 27_777_322,
    "convit-base": 86_540_040,
    "crate-tiny": 6_090_856,
    "crate-small": 13_116_328,
    "crate-base": 22_796_008,
    "crate-large": 77_641_192,
    "deit-tiny": 5_717_416,
}
"""Parameters for 1000 classes."""
NARROW = {"depths": (2, 1), "width": 32, "input_size": 64}
HEADS = partial(SelfAttention, head_width=8, bias=True)
STOCK = {
    "convit_tiny": (
        {"depth": 3, "local_up_to_layer": 2, "embed_dim": 8},
        {"mixers": [partial(GatedPositionalAttention, heads=4), HEADS], "class_token": 2},
    ),
    "deit_tiny_patch16_224": (
        {"depth": 3, "embed_dim": 32, "num_heads": 4},
        {"mixers": partial(HEADS, qkv_bias=True), "class_token": 1},
    ),
}
"""Of timm's networks, options that make them narrow, and what makes the same here."""


FOUR = partial(SelfAttention, head_width=4)


def small(mixers=FOUR, spatial_dims: int = 2, classes: int = 3, **options) -> Isotropic:
    given = {"depths": (1, 2), "width": 8, "patch": 2, "input_size": 8, **options}
    return Isotropic(classes, 2, mixers=mixers, spatial_dims=spatial_dims, **given)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]


@pytest.mark.parametrize("name", ["convit-tiny", "convit-small", "convit-base", "deit-tiny"])
def test_timm_has_the_same_tensors(configured, name: str):
    with torch.device("meta"):
        own = configured(name)(1000, 3)
        stock = timm.create_model("deit_tiny_patch16_224" if name == "deit-tiny" else name.replace("-", "_"))
        renamed = own.renamed(stock.state_dict())
    shapes = {key: value.shape for key, value in own.state_dict().items()}
    assert {key: value.shape for key, value in renamed.items()} == shapes


@pytest.mark.parametrize("name", STOCK)
def test_timms_weights_give_timms_numbers(name: str, tmp_path: Path):
    narrow, same = STOCK[name]
    stock = timm.create_model(name, img_size=64, **narrow).eval()
    for tensor in stock.parameters():  # what begins at 0 or 1 hides errors
        tensor.detach().uniform_(0.5, 1.5) if tensor.dim() < 2 else tensor.detach().normal_(0, 0.3)
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    network = Isotropic(1000, 3, **NARROW, **same, weights=tmp_path / "stock.pth").eval()
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = stock(x)
        # single positions are summed up in another order
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_published_weights_of_crate_give_its_numbers(drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of the paper's code (model/crate.py of 674408f), in float64."""
    golden = json.loads(Path(__file__).with_name("crate.json").read_text())
    file = {f"module.{name}": drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}
    torch.save({"state_dict": file}, tmp_path / "crate.pth")
    network = Isotropic(
        5,
        depths=(1, 2),
        width=24,
        mixers=partial(SubspaceSelfAttention, head_width=8),
        channel_mixers=ISTA,
        style=Style(norm_eps=1e-5, channel_residual=False),
        patch=8,
        patch_norms=True,
        input_size=[24, 32],
        class_token=1,
        weights=tmp_path / "crate.pth",
    )
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 24, 32)))
    expected = torch.tensor(golden["logits"], dtype=torch.float64)
    torch.testing.assert_close(network.double().eval()(x).detach(), expected)


@pytest.mark.parametrize("token", [None, 1, 2])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_grids_behind_its_stages(rank: int, token: int | None):
    network = small(spatial_dims=rank, classes=0, class_token=token)
    maps = network(torch.randn(2, 2, *(6, 11, 8)[:rank]))
    assert [tuple(m.shape) for m in maps] == 2 * [(2, 8, *(3, 6, 4)[:rank])]
    sum(m.square().sum() for m in maps).backward()
    assert all(p.grad is not None for p in network.parameters())
    assert [(stage.channels, stage.stride) for stage in network.stages] == [(8, 2), (8, 2)]


def test_a_class_token_is_what_is_classified():
    network = small(class_token=2).eval()
    last, logits = network.map_and_logits(torch.randn(2, 2, 8, 8))
    assert last.shape == (2, 17, 8)
    torch.testing.assert_close(logits, network.fc(network.neck(last[:, 0])))
    last, logits = (network := small().eval()).map_and_logits(torch.randn(2, 2, 8, 8))
    torch.testing.assert_close(logits, network.fc(network.neck(last.flatten(2).mean(2))))


def test_mixers_see_the_grid_until_the_class_token_joins():
    network = small([DepthwiseConvolution, RandomMixer], class_token=2, input_size=[8, 12])
    assert isinstance(network.layer1[0].mixer.conv, nn.Conv2d)
    assert network.layer2[0].mixer.size == (1 + 4 * 6,)
    assert network(torch.randn(1, 2, 8, 12)).shape == (1, 3)


def test_patches_with_norms_see_the_same_pixels():
    """Row by row, then their channels: a convolution's kernel in that order, where the norms do nothing."""
    normed, plain = (Patches(2, 8, 2, 3, eps).double() for eps in (0.0, None))
    normed.norm1 = normed.norm2 = nn.Identity()
    kernel = normed.project.weight.unflatten(1, (3, 3, 2)).permute(0, 3, 1, 2)
    plain.project.load_state_dict({"weight": kernel, "bias": normed.project.bias})
    x = torch.randn(2, 2, 7, 9, dtype=torch.float64)
    torch.testing.assert_close(normed(x), plain(x))
    assert plain(x).shape == (2, 8, 3, 3)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_positions_of_another_size_are_interpolated(rank: int):
    positions = Positions(4, (4, 3, 5)[:rank], first=1)
    positions.table.detach()[:, 1:] = torch.arange(4.0)  # the same everywhere
    found = positions.grid((7, 6, 2)[:rank])
    torch.testing.assert_close(found, torch.arange(4.0).view(1, 4, *(1,) * rank).expand(1, 4, *(7, 6, 2)[:rank]))


def test_own_first_weights_of_a_mixer_stay():
    network = small(partial(GatedPositionalAttention, heads=4))
    assert torch.equal(network.layer1[0].mixer.value.weight, torch.eye(8))


def test_plugs_find_stages_units_and_mixers():
    network = plug(small(class_token=2), SpectralNonlocal, ["layer1", "layer2.1.mixer"], example=(1, 2, 8, 8))
    assert network.layer1.block.spatial_dims == 2
    assert network.layer2[1].mixer.block.spatial_dims == 1
    assert network(torch.randn(2, 2, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": []}, "depths and width must be at least 1"),
        ({"depths": [1, 0]}, "depths and width must be at least 1"),
        ({"spatial_dims": 4}, "spatial_dims must be one of 1, 2, 3, got 4"),
        ({"input_size": [8]}, "input_size must be 2 positive numbers"),
        ({"patch": 0}, "patch must be at least 1, got 0"),
        ({"class_token": 3}, "class_token must be a stage from 1 to 2, got 3"),
        ({"class_token": 1, "pooling": ISqrtCov}, "leave class_token out"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        small(**options)

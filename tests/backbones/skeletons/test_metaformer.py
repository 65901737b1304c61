"""One pyramid is the networks of several papers, to the parameter and to timm's numbers, with any block as mixer."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models.convnext import checkpoint_filter_fn
from torch import nn

import blockyard
from blockyard.backbones import MetaFormer
from blockyard.backbones.skeletons.parts import Style
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.blocks import (
    IdentityMixer,
    PoolMixer,
    RandomMixer,
    RecursiveGatedConvolution,
    SampledAttention,
    SelfAttention,
    SpectralNonlocal,
    list_blocks,
)
from blockyard.plugging import plug

NETWORKS = Path(blockyard.__file__).parent / "configs" / "image_classification" / "networks"
PUBLISHED = {
    "convnext-tiny": (28_589_128, "convnext_tiny"),
    "convnext-small": (50_223_688, None),
    "inceptionnext-atto": (4_156_520, "inception_next_atto"),
    "inceptionnext-tiny": (28_055_680, "inception_next_tiny"),
    "inceptionnext-small": (49_374_016, None),
    "inceptionnext-base": (86_672_136, None),
    "hornet-tiny": (22_409_512, None),
    "hornet-small": (49_528_264, None),
    "hornet-base": (87_256_680, None),
    "hornet-tiny-gf": (22_991_848, None),
    "identityformer-s12": (11_891_712, None),
    "poolformerv2-s12": (11_891_712, "poolformerv2_s12"),
    "randformer-s12": (11_891_712, None),
    "convformer-s18": (26_774_448, "convformer_s18"),
    "caformer-s18": (26_341_656, "caformer_s18"),
    "uniformer-small": (21_545_256, None),
    "uniformer-small-plus": (24_032_552, None),
    "uniformer-base": (49_776_552, None),
    "spartan-tiny": (3_820_296, None),
    "dgmn2-tiny": (12_101_464, None),
    "dgmn2-small": (20_968_360, None),
    "dgmn2-medium": (35_811_712, None),
    "dgmn2-large": (48_286_762, None),
}
"""Parameters for 1000 classes, and what timm calls the same network."""


def small(mixers=PoolMixer, spatial_dims: int = 2, classes: int = 3, **options) -> MetaFormer:
    resolution = options.pop("resolution", Resolution(stem_kernel=3, stem_stride=1))
    return MetaFormer(classes, 2, [1, 2], [8, 16], mixers, spatial_dims=spatial_dims, resolution=resolution, **options)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(configured, name: str):
    with torch.device("meta"):
        network = configured(name)(1000, 3)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name][0]
    assert f"{PUBLISHED[name][0]:,} parameters for 1000 classes" in ((NETWORKS / f"{name}.yaml").read_text())


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_stem_of_several_convolutions_with_norms_and_activations_behind(rank: int):
    resolution = Resolution(3, 2, stem_steps=2, kernel=2, norm="batch", norm_eps=1e-6, acts=("gelu", "silu"))
    size = [17, 24, 30][:rank]
    network = small(RandomMixer, rank, classes=0, resolution=resolution, input_size=size)
    kinds = [[type(part).__name__.rstrip("123d") for part in before] for before in (network.stem, network.downsample2)]
    assert kinds == [["Conv", "BatchNorm", "GELU"] * 2, ["Conv", "BatchNorm", "SiLU"]]
    assert [network.stem[0].out_channels, network.stem[0].bias, network.stem[4].eps] == [4, None, 1e-6]
    maps = network(torch.randn(2, 2, *size))
    sizes = [stage[0].mixer.size for stage in (network.layer1, network.layer2)]
    assert [tuple(m.shape[2:]) for m in maps] == sizes == [(5, 6, 8)[:rank], (2, 3, 4)[:rank]]
    assert [stage.stride for stage in network.stages] == [4, 8]


def test_a_random_mixer_keeps_the_published_numbers_that_are_never_trained(configured):
    with torch.device("meta"):
        network = configured("randformer-s12")(1000, 3)
    matrices = [m.matrix for m in network.modules() if isinstance(m, RandomMixer)]
    assert sum(matrix.numel() for matrix in matrices) == 235_298 == 12_127_010 - 11_891_712
    assert not any(matrix.requires_grad for matrix in matrices)


STOCK = {name: stock for name, (_, stock) in PUBLISHED.items() if stock}


@pytest.mark.parametrize("name", STOCK)
def test_timm_has_the_same_tensors(configured, name: str):
    with torch.device("meta"):
        own, stock = configured(name)(1000, 3), timm.create_model(STOCK[name])
        renamed = own.renamed(stock.state_dict())
    shapes = {key: value.shape for key, value in own.state_dict().items()}
    assert {key: value.shape for key, value in renamed.items()} == shapes


@pytest.mark.parametrize("name", STOCK)
def test_timms_weights_give_timms_numbers(configured, name: str, tmp_path: Path):
    """Where timm lets, with one unit a stage and few channels: where all tensors are, the test above says."""
    depths, widths = (1, 1, 1, 1), (32, 64, 64, 96)
    small = ({"depths": depths, "widths": widths}, {"depths": depths, "dims": widths}) if "next" in name else ({}, {})
    stock = timm.create_model(STOCK[name], **small[1]).eval()
    for tensor in (*stock.parameters(), *stock.buffers()):
        if tensor.dim() < 2 and tensor.is_floating_point():  # scales, which hide errors where they begin at 1e-6
            tensor.detach().uniform_(0.5, 1.5)
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    network = configured(name)(1000, 3, **small[0], weights=tmp_path / "stock.pth").eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = stock(x)
        # norms of single positions and fused kernels sum up in another order
        torch.testing.assert_close(network(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_published_weights_of_hornet_give_its_numbers(drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of mmpretrain 1.2.0, whose network had these weights, in float64."""
    golden = json.loads(Path(__file__).with_name("hornet.json").read_text())
    file = {name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}
    torch.save({"model": file}, tmp_path / "hornet.pth")
    local = [partial(RecursiveGatedConvolution, order=order) for order in (1, 3)]
    far = [
        partial(RecursiveGatedConvolution, order=order, global_filter=True, size=size)
        for order, size in ((2, (4, 4)), (3, (3, 2)))
    ]
    network = MetaFormer(
        0,
        depths=[1, 2, 1, 1],
        widths=[4, 8, 16, 32],
        mixers=[*local, *far],
        style=Style(layer_scale=1e-6),
        resolution=Resolution(stem_kernel=4, kernel=2),
        weights=tmp_path / "hornet.pth",
    )
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 48)))
    for found, expected in zip(network.double().eval().features(x), golden["maps"], strict=True):
        some = found.flatten()[:: max(1, found.numel() // 5)][:5]
        # mmpretrain transforms in float32
        torch.testing.assert_close(some.detach(), torch.tensor(expected, dtype=torch.float64), rtol=1e-7, atol=1e-7)


def test_weights_of_spartans_code_give_its_numbers(configured, drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of src/model/spartan.py of henry-pay/SpaRTAN, 1715a43, with its float32 made
    float64; drawn on 29 November 2026."""
    golden = json.loads(Path(__file__).with_name("spartan.json").read_text())
    torch.save({name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}, tmp_path / "spartan.pth")
    options = {"depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "weights": tmp_path / "spartan.pth"}
    network = configured("spartan-tiny")(5, 3, **options).double().eval()
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 96)))
    torch.testing.assert_close(network(x).detach(), torch.tensor(golden["logits"], dtype=torch.float64))


def test_published_weights_of_dgmn2_give_its_numbers(configured, drawn_by_name, tmp_path: Path):
    """Names, shapes and numbers are those of fudan-zvg/DGMN2 at 7b51ee7: the network of classification/dgmn2.py with
    the attention of deformable_detr/models/dgmn2_block.py, which takes maps of other sizes, and torchvision's
    deformable convolution in place of its own kernel, in float64; drawn on 29 November 2026."""
    golden = json.loads(Path(__file__).with_name("dgmn2.json").read_text())
    torch.save({name: drawn_by_name(name, shape) for name, shape in golden["shapes"].items()}, tmp_path / "dgmn2.pth")
    options = {"depths": [1, 2, 1, 1], "widths": [8, 16, 24, 32], "weights": tmp_path / "dgmn2.pth"}
    mixers = partial(SampledAttention, head_width=8, mirrored=True)
    network = configured("dgmn2-tiny")(5, 3, mixers=mixers, **options).double().eval()
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 96)))
    torch.testing.assert_close(network(x).detach(), torch.tensor(golden["logits"], dtype=torch.float64))


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_stem_with_convolutions_of_stride_one_between(rank: int):
    resolution = Resolution(3, 2, stem_steps=2, stem_between=1, norm="batch", acts=("relu", "relu"))
    size = [17, 24, 30][:rank]
    network = small(RandomMixer, rank, classes=0, resolution=resolution, input_size=size)
    convs = [(part.in_channels, part.out_channels, part.stride[0]) for part in network.stem[::3]]
    assert convs == [(2, 4, 2), (4, 4, 1), (4, 8, 2)]
    maps = network(torch.randn(2, 2, *size))
    assert [tuple(m.shape[2:]) for m in maps] == [(5, 6, 8)[:rank], (3, 3, 4)[:rank]]


def test_the_first_checkpoints_of_convnext_are_read_as_timm_reads_them(configured):
    depths, widths = (1, 1, 1, 1), (8, 16, 16, 24)
    stock = timm.create_model("convnext_tiny", depths=depths, dims=widths)
    with torch.device("meta"):
        own = configured("convnext-tiny")(1000, 3, depths=depths, widths=widths)
    names = (
        (r"^stem\.", "downsample_layers.0."),
        (r"^stages\.(\d)\.downsample\.", r"downsample_layers.\1."),
        (r"\.blocks\.", "."),
        (r"\.conv_dw\.", ".dwconv."),
        (r"\.mlp\.fc", ".pwconv"),
        (r"^head\.norm", "norm"),
        (r"^head\.fc", "head"),
    )
    first = {}
    for key, value in stock.state_dict().items():
        for pattern, name in names:
            key = re.sub(pattern, name, key)
        first[key] = torch.rand_like(value)
    by_timm = own.renamed(checkpoint_filter_fn(dict(first), stock))
    found = own.renamed(first)
    assert found.keys() == by_timm.keys() == own.state_dict().keys()
    assert all(torch.equal(found[key], by_timm[key]) for key in found)


def test_a_file_for_other_classes_says_so(configured, tmp_path: Path, capsys):
    stock = timm.create_model("inception_next_atto", num_classes=7)
    torch.save(stock.state_dict(), tmp_path / "stock.pth")
    configured("inceptionnext-atto")(5, 3, weights=tmp_path / "stock.pth")
    assert "classifier of 7 classes left out" in capsys.readouterr().out


def test_a_file_of_another_network_is_refused(configured, tmp_path: Path):
    torch.save(timm.create_model("convnext_atto").state_dict(), tmp_path / "stock.pth")
    with pytest.raises(ValueError, match="holds other weights than the network's"):
        configured("inceptionnext-atto")(1000, 3, weights=tmp_path / "stock.pth")


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_at_the_resolutions_of_its_stages(rank: int):
    network = small(spatial_dims=rank, classes=0)
    maps = network(torch.randn(2, 2, *(6, 10, 8)[:rank]))
    assert [tuple(m.shape[1:]) for m in maps] == [(8, *(6, 10, 8)[:rank]), (16, *(3, 5, 4)[:rank])]
    assert [(stage.channels, stage.stride) for stage in network.stages] == [(8, 1), (16, 2)]


MIXABLE = [kind for kind in list_blocks() if kind.__module__.startswith("blockyard.") and kind.slot != "activation"]


@pytest.mark.parametrize("kind", MIXABLE, ids=lambda kind: kind.__name__)
def test_any_block_is_a_mixer(kind):
    """A gradient comes to every parameter, as DDP waits for it."""
    options = {"HaloAttention": {"block_size": 2, "halo_size": 1}, "GSoP": {"inner": 8}, "MixStyle": {"probability": 1}}
    ratio = {"reduction": 4} if kind.__name__ in ("SqueezeExcitation", "GlobalContext") else {}
    torch.manual_seed(0)
    network = MetaFormer(
        3, 2, [1], [32], partial(kind, **options.get(kind.__name__, {}), **ratio), resolution=Resolution(3, 1)
    )
    x = torch.randn(4, 2, 8, 8)
    assert network(x).shape == (4, 3)
    network(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_the_identity_as_mixer_leaves_positions_apart():
    network = small(IdentityMixer, classes=0, style=Style(norm="layer"), resolution=Resolution(1, 1, 2, 2)).double()
    x = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(network(x)[-1][0, :, 0, 0].square().sum(), x)
    assert slope[0, :, :2, :2].all()
    assert not slope[0, :, 2:].any()
    assert not slope[0, :, :, 2:].any()


def test_two_branches_are_the_sum_that_they_say():
    unit = small(style=Style(layer_scale=0.5, residual_scale=2.0)).layer1[0]
    x = torch.randn(2, 8, 5, 5)
    between = 2 * x + 0.5 * unit.mixer(unit.norm1(x))
    torch.testing.assert_close(unit(x), 2 * between + 0.5 * unit.mlp(unit.norm2(between)))


def test_one_branch_is_the_sum_that_it_says():
    unit = small(style=Style(branches=1, layer_scale=0.5)).layer1[0]
    x = torch.randn(2, 8, 5, 5)
    torch.testing.assert_close(unit(x), x + 0.5 * unit.mlp(unit.norm(unit.mixer(x))))


def test_paths_are_dropped_the_more_the_deeper():
    network = MetaFormer(3, 2, [2, 3], [8, 16], style=Style(drop_path_rate=0.4), resolution=Resolution(3, 1))
    rates = [getattr(unit.drop_path1, "p", 0.0) for layer in (network.layer1, network.layer2) for unit in layer]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_mixer_that_asks_is_told_the_size_of_its_map():
    network = small(RandomMixer, input_size=[12, 9])
    assert [network.layer1[0].mixer.size, network.layer2[1].mixer.size] == [(12, 9), (6, 5)]
    maps = small(RandomMixer, input_size=[12, 9], classes=0)(torch.randn(1, 2, 12, 9))
    assert [tuple(m.shape[2:]) for m in maps] == [(12, 9), (6, 5)]


def test_lists_are_of_one_value_a_stage():
    network = small([PoolMixer, partial(SelfAttention, head_width=4)], style=Style(norm=["group", "batch"]))
    assert [type(layer[0].mixer).__name__ for layer in (network.layer1, network.layer2)] == [
        "PoolMixer",
        "SelfAttention",
    ]
    assert isinstance(network.layer2[0].norm1, nn.BatchNorm2d)
    assert small([PoolMixer]).layer2[1].mixer.channels == 16
    units = small([PoolMixer, IdentityMixer, PoolMixer]).layer2  # one for each unit
    assert [type(unit.mixer) for unit in units] == [IdentityMixer, PoolMixer]
    with pytest.raises(ValueError, match="mixers is one for all stages or one for each of 2, got 4"):
        small([PoolMixer] * 4)


def test_channels_may_be_mixed_by_a_block():
    network = small(channel_mixers=[None, SpectralNonlocal])
    assert type(network.layer1[0].mlp).__name__ == "MLP"
    assert isinstance(network.layer2[0].mlp, SpectralNonlocal)


def test_a_block_that_begins_as_the_identity_still_does():
    mixer = small(SpectralNonlocal).layer1[0].mixer
    x = torch.randn(2, 8, 5, 5)
    assert torch.equal(mixer(x), x)


def test_plugs_find_stages_units_and_mixers():
    network = plug(small(), SpectralNonlocal, ["layer2", "layer1.0.mixer"], example=(1, 2, 8, 8))
    assert network(torch.randn(2, 2, 8, 8)).shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": [1]}, "depths and widths have one number a stage, got 1 and 2"),
        ({"depths": [1, 0]}, "must be at least 1"),
        ({"spatial_dims": 4}, "spatial_dims must be one of 1, 2, 3, got 4"),
        ({"input_size": [8]}, "input_size must be 2 positive numbers"),
    ],
)
def test_what_makes_no_network_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        MetaFormer(3, 2, **{"depths": [1, 2], "widths": [8, 16], **options})


def test_a_stride_that_skips_positions_is_refused():
    with pytest.raises(ValueError, match="stem_stride must be 1 to stem_kernel, 2, got 4"):
        Resolution(stem_kernel=2)
    with pytest.raises(ValueError, match="stem_steps must be at least 1, got 0"):
        Resolution(stem_steps=0)
    with pytest.raises(ValueError, match="stem_between is for odd kernels, stem_kernel is 4"):
        Resolution(stem_kernel=4, stem_steps=2, stem_between=1)

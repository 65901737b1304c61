"""Necks: a feature pyramid is torchvision's; a convolution across levels is one of a rank more."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import FeaturePyramidNetwork

from blockyard.backbones import TimmFeatures
from blockyard.heads import FPN, SEPC, FullPAD, make_segmentor
from blockyard.heads.pyramid_necks import IntegratedBatchNorm, PyramidConvolution

WIDTHS = [6, 8, 10]


def maps(rank: int, widths: list[int] = WIDTHS, size: int = 12) -> list[Tensor]:
    return [torch.randn(2, n, *[size >> i] * rank, dtype=torch.float64) for i, n in enumerate(widths)]


def test_a_feature_pyramid_is_torchvisions():
    ours, stock = FPN(WIDTHS, channels=5).double(), FeaturePyramidNetwork(WIDTHS, 5).double()
    for level in range(3):
        stock.inner_blocks[level][0].load_state_dict(ours.laterals[level].state_dict())
        stock.layer_blocks[level][0].load_state_dict(ours.convs[level].state_dict())
    given = maps(2)
    expected = stock({str(i): x for i, x in enumerate(given)})
    assert all(torch.equal(a, b) for a, b in zip(ours(given), expected.values(), strict=True))


@pytest.mark.parametrize("rank", [1, 2])
def test_on_levels_of_one_size_it_is_a_convolution_of_one_rank_more(rank: int):
    conv = PyramidConvolution(4, rank).double()
    nn.init.normal_(conv.bias)
    levels = [torch.randn(2, 4, *[7, 6][:rank], dtype=torch.float64) for _ in range(5)]
    convolve = {1: F.conv2d, 2: F.conv3d}[rank]
    expected = convolve(torch.stack(levels, 2), conv.weight.movedim(0, 2), conv.bias, padding=1)
    torch.testing.assert_close(torch.stack(conv(levels), 2), expected)


def test_between_levels_it_strides_and_interpolates():
    conv = PyramidConvolution(3).double()
    fine, coarse = maps(2, [3, 3])
    finer, coarser = conv([fine, coarse])
    up = F.interpolate(F.conv2d(coarse, conv.weight[2], padding=1), (12, 12), mode="bilinear", align_corners=True)
    torch.testing.assert_close(finer, F.conv2d(fine, conv.weight[1], padding=1) + up)
    down = F.conv2d(fine, conv.weight[0], stride=2, padding=1)
    torch.testing.assert_close(coarser, F.conv2d(coarse, conv.weight[1], padding=1) + down)


def test_taps_move_on_all_levels_but_the_finest():
    plain, moving = PyramidConvolution(3).double(), PyramidConvolution(3, deformable=True).double()
    missing, _ = moving.load_state_dict(plain.state_dict(), strict=False)
    assert {key.split(".")[0] for key in missing} == {"offsets"}
    given = maps(2, [3, 3, 3])
    for ours, expected in zip(moving(given), plain(given), strict=True):
        torch.testing.assert_close(ours, expected)  # offsets start at zero; the sums are in another order
    for conv in moving.offsets:
        nn.init.constant_(conv.bias, 0.5)
    moved = [not torch.allclose(a, b) for a, b in zip(moving(given), plain(given), strict=True)]
    assert moved == [False, True, True]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_integrated_batch_norm_is_that_of_all_positions(rank: int):
    given = maps(rank, [4, 4, 4], 8)
    ours, stock = IntegratedBatchNorm(4).double(), nn.BatchNorm1d(4).double()
    rows = stock(torch.cat([x.flatten(2) for x in given], 2))
    torch.testing.assert_close(torch.cat([x.flatten(2) for x in ours(given)], 2), rows)
    assert torch.equal(ours.norm.running_var, stock.running_var)
    before = ours.eval()(given)
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(ours)
    assert isinstance(converted.norm, nn.SyncBatchNorm)
    assert all(torch.equal(a, b) for a, b in zip(converted(given), before, strict=True))


@pytest.mark.parametrize("kind", [FPN, partial(SEPC, depth=2)])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_every_rank_has_maps_of_the_sizes_it_is_given(rank: int, kind: Callable[..., nn.Module]):
    neck = kind(WIDTHS, rank, channels=4).double()
    given = [torch.randn(2, n, *[(13, 7, 3)[i]] * rank, dtype=torch.float64) for i, n in enumerate(WIDTHS)]
    outputs = neck(given)
    assert [tuple(x.shape) for x in outputs] == [(2, 4, *x.shape[2:]) for x in given]
    torch.stack([(x * torch.randn_like(x)).sum() for x in outputs]).sum().backward()
    assert [name for name, p in neck.named_parameters() if p.grad is None] == []
    for name in getattr(neck, "without_effect", ()):
        assert neck.get_parameter(name).grad.abs().max() < 1e-9


@pytest.mark.parametrize("neck", [FPN, partial(SEPC, depth=1, deformable=True)])
@pytest.mark.parametrize("head", ["SegformerHead", "UNetPlusPlusHead", "FPNHead", "UPerHead"])
def test_heads_stand_on_necks(neck: Callable[..., nn.Module], head: str):
    options = {"FPNHead": {"feature_strides": [4, 8, 16, 32]}}.get(head, {})
    trunk = TimmFeatures(name="resnet10t")
    segmentor = make_segmentor(trunk, {"type": head, "channels": 8, **options}, [], 3, partial(neck, channels=8))
    assert segmentor.decode_head.in_channels == [8] * 4
    assert [stage.path for stage in segmentor.stages] == [f"backbone.{stage.path}" for stage in trunk.stages]
    x, target = torch.randn(2, 3, 65, 64), torch.randint(0, 3, (2, 65, 64))
    segmentor.losses(x, target)["decode.loss_ce"].backward()
    assert segmentor.eval()(x).shape == (2, 3, 65, 64)


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="rank 4") as error:
        FPN(WIDTHS, 4)
    one_line(error, "FPN takes maps of rank 1, 2, 3, got 3 of rank 4")
    for kind in (FPN, SEPC, FullPAD):
        with pytest.raises(ValueError, match="channels") as error:
            kind(WIDTHS, channels=0)
        one_line(error, f"{kind.__name__}: channels must be at least 1, got 0")
    with pytest.raises(ValueError, match="deformable") as error:
        SEPC(WIDTHS, 3, deformable=True)
    one_line(error, "SEPC: depth must be positive", "spatial_dims=3")

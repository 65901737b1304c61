"""FFNet's up-head: the published numbers, and what a level sees."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from blockyard.backbones import BackboneFeatures, PreResNet, TimmFeatures
from blockyard.costs import count_parameters
from blockyard.heads import make_segmentor
from blockyard.heads.ffnet_head import FFNetHead

WIDTHS = (6, 8, 10, 12)
PUBLISHED = {
    "50": ("resnet50", None, 28_553_043),
    "34": ("resnet34", None, 25_285_203),
    "56": ("resnet34", (4, 8, 12, 3), 33_624_915),
    "86": ("resnet34", (8, 12, 16, 6), 53_987_155),
    "101": ("resnet101", None, 47_545_171),
}
"""By the name that the models called AAA have: the trunk in timm, the units of its stages, and all parameters."""


UP_C: dict[str, Any] = {"widths": (128, 128, 128, 128), "joined": (128, 16, 16, 16)}


def head(channels: tuple[int, ...] = WIDTHS, width: int = 16, **options: Any) -> FFNetHead:
    plain = {"num_classes": 3, "norm_cfg": {"type": "BN"}, "in_index": [0, 1, 2, 3]}
    return FFNetHead(channels, width, **(plain | options)).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_has_the_published_parameters(name: str):
    trunk, layers, parameters = PUBLISHED[name]
    with torch.device("meta"):
        network = TimmFeatures(name=trunk, layers=layers)
        up = head(tuple(stage.channels for stage in network.stages), 512, num_classes=19)
    assert count_parameters(network) + count_parameters(up) == parameters


NUMBERS = {
    "linear": [
        *(-0.9834194103295933, -0.5858200037493949, -1.0037480597333721, -0.5637537323127706),
        *(0.9579063295519997, 0.7918007889309495, 1.0048058050534379, 0.8113130815784927),
        *(-0.09723279719422513, -0.1287120344467306, -0.08270518672705063, -0.11302132977905358),
    ],
    "nearest": [
        *(-0.9422169756285967, -0.562091239203573, -0.9664175740139666, -0.543570929508419),
        *(0.9305497122498809, 0.79768559476049, 1.0521491443421684, 0.8366057364176717),
        *(-0.10870976263199345, -0.13273408567300646, -0.0767141615648036, -0.12716370246903475),
    ],
}


@pytest.mark.parametrize("upsampling", NUMBERS)
def test_gives_the_published_numbers(
    upsampling: Any, fill_by_name: Callable[[nn.Module], None], drawn_by_name: Callable[[str, list[int]], Tensor]
):
    """Those of FFNetUpHead of Qualcomm-AI-research/FFNet, 2291ae7, C and C_mobile with segmentation_C, whose tensors
    had these weights by the names that they have here, on these maps, in float64; drawn on 29 November 2026."""
    up = head(width=128, upsampling=upsampling, **UP_C)
    fill_by_name(up)
    maps = [drawn_by_name(f"map{i}", [1, n, 16 >> i, 24 >> i]).double() for i, n in enumerate(WIDTHS)]
    logits = up.double()(maps).detach()
    assert logits.shape == (1, 3, 16, 24)
    expected = torch.tensor(NUMBERS[upsampling], dtype=torch.float64)
    torch.testing.assert_close(logits[0, :, 5::8, 7::16].flatten(), expected)


def test_a_level_sees_itself_and_what_is_coarser():
    """So a change of the finest map leaves all but the last summand of what is joined where it was."""
    up, seen = head(), []
    for level, smooth in enumerate(up.smooth):
        smooth.register_forward_hook(lambda _m, _x, out, level=level: seen.append((level, out)))
    maps = [torch.randn(1, n, 16 >> i, 24 >> i) for i, n in enumerate(WIDTHS)]
    for changed in range(4):
        seen.clear()
        other = [x + 1 if i == changed else x for i, x in enumerate(maps)]
        up(maps), up(other)
        moved = {level for (level, a), (_, b) in zip(seen[:4], seen[4:], strict=True) if not torch.equal(a, b)}
        assert moved == set(range(changed + 1))


def test_what_it_says_has_no_effect_has_none():
    up = head().train().double()
    maps = [torch.randn(2, n, 16 >> i, 16 >> i, dtype=torch.float64) for i, n in enumerate(WIDTHS)]
    up(maps).square().sum().backward()
    assert up.without_effect == ("fuse.conv.bias",)
    assert up.fuse.conv.bias.grad.abs().max() < 1e-9 * up.fuse.conv.weight.grad.abs().max()


def test_stands_on_any_backbone():
    config = {"type": "FFNetHead", "widths": [8, 12, 16], "joined": [8, 4, 4], "channels": 16}
    segmentor = make_segmentor(BackboneFeatures(0, 3, partial(PreResNet, depth=8)), config, [], 3)
    x, target = torch.randn(2, 3, 33, 48), torch.randint(0, 3, (2, 33, 48))
    segmentor.losses(x, target)["decode.loss_ce"].backward()
    assert [name for name, p in segmentor.named_parameters() if p.grad is None] == []
    assert segmentor.eval()(x).shape == (2, 3, 33, 48)


def test_mistakes_are_one_line(one_line: Callable[..., None]):
    with pytest.raises(ValueError, match="4 maps") as error:
        head(widths=(4, 4))
    one_line(error, "4 maps take as many widths and joined, got [4, 4], [128, 128, 128, 128]")
    with pytest.raises(ValueError, match="upsampling") as error:
        head(upsampling="cubic")
    one_line(error, "'cubic'", "linear and nearest")

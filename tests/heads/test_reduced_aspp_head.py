"""Mobile DeepLabv3: what it costs, and what of DeepLabv3 it is."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from blockyard.backbones import TimmFeatures
from blockyard.costs import count_parameters
from blockyard.heads.reduced_aspp_head import ReducedASPPHead

SIZES: dict[str, Any] = {"num_classes": 21, "norm_cfg": {"type": "BN"}}


def test_parameters_and_multiplications_on_mobilenetv2():
    """At 513×513, which is 33×33 at output stride 16."""
    with torch.device("meta"):
        trunk = TimmFeatures(name="mobilenetv2_100", output_stride=16).eval()
        head = ReducedASPPHead(in_channels=320, channels=256, **SIZES).eval()
        assert count_parameters(trunk) + count_parameters(head) == 2_113_557
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            maps = trunk(torch.empty(1, 3, 513, 513))
            assert head(maps).shape == (1, 21, 33, 33)
    assert counter.get_total_flops() == 2 * 2_740_709_056


def test_is_stock_deeplab_without_the_branches_and_taps_that_it_lacks():
    from mmseg.models.decode_heads import ASPPHead  # after what makes it importable

    stock = ASPPHead(in_channels=6, channels=8, dilations=(1, 3), **SIZES).eval()
    ours = ReducedASPPHead(in_channels=6, channels=8, **SIZES).eval()
    state = {name: value for name, value in stock.state_dict().items() if not name.startswith("aspp_modules.1")}
    weight = stock.bottleneck.conv.weight.detach()
    with torch.no_grad():
        weight[:, 16:] = 0  # of the branch of 3×3
        centre = weight[:, :, 1:2, 1:2].clone()
        weight.zero_()[:, :, 1:2, 1:2] = centre
    state["bottleneck.conv.weight"] = centre[:, :16]
    ours.load_state_dict(state)
    maps = [torch.randn(2, 6, 9, 7)]
    # sums over other numbers of channels are rounded otherwise
    torch.testing.assert_close(ours(maps), stock(maps), rtol=1e-5, atol=1e-6)

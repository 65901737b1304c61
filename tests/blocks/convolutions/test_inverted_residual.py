"""An inverted residual is torchvision's, and a network of them MobileNetV2."""

from __future__ import annotations

import pytest
import timm
import torch
from torchvision.models.mobilenetv2 import InvertedResidual as Torchvisions

from blockyard.blocks import FusedInvertedResidual, InvertedResidual
from blockyard.costs import count_macs


def test_it_is_torchvisions():
    block, theirs = InvertedResidual(8).double(), Torchvisions(8, 8, 1, 6).double()
    torch.nn.init.uniform_(block.project[1].weight)
    own, other = list(block.state_dict().values()), theirs.state_dict()
    other = dict(zip(other, own, strict=True))
    theirs.load_state_dict(other)
    x = torch.randn(2, 8, 6, 5, dtype=torch.float64)
    torch.testing.assert_close(block(x), theirs(x))
    torch.testing.assert_close(block.eval()(x), theirs.eval()(x))


def test_the_network_of_them_has_the_published_parameters_and_multiplications():
    with torch.device("meta"):
        network = timm.create_model("mobilenetv2_100")
        assert sum(p.numel() for p in network.parameters()) == 3_504_872
        assert round(count_macs(network, (3, 224, 224)) / 1e6, 2) == 300.77


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expansion": 0.01}, "expansion=0.01 leaves no channel of 8"),
        ({"kernel_size": 2}, "kernel_size must be odd and positive, got 2"),
    ],
)
def test_what_makes_no_block_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        InvertedResidual(8, **options)


def test_a_fused_one_refuses_the_same():
    with pytest.raises(ValueError, match="FusedInvertedResidual: kernel_size must be odd and positive, got 4"):
        FusedInvertedResidual(8, kernel_size=4)

"""UniRepLKNet: large kernels beside dilated ones in training, one convolution afterwards."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from blockyard import merge
from blockyard.backbones import Backbone
from blockyard.blocks import DepthwiseConvolution, DilatedReparam
from blockyard.costs import count_macs

PUBLISHED = {"a": 4_437_300, "f": 6_235_216, "p": 10_741_704, "n": 18_318_560, "t": 31_037_980}
"""Parameters for 1000 classes, merged."""
SMALL = partial(DepthwiseConvolution, kernel_size=3, bias=False)
MIXERS = [SMALL, DilatedReparam, DilatedReparam, SMALL, DilatedReparam]
NETWORKS = Path(__file__).parents[3] / "blockyard" / "configs" / "image_classification" / "networks"


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("size", PUBLISHED)
def test_merged_it_has_the_published_parameters(configured, size: str):
    with torch.device("meta"):
        network = merge(configured(f"unireplknet-{size}")(1000, 3))
    assert parameters(network) == PUBLISHED[size]
    assert f"{PUBLISHED[size]:,} when merged" in (NETWORKS / f"unireplknet-{size}.yaml").read_text()
    assert not any(isinstance(module, DilatedReparam | nn.BatchNorm2d) for module in network.modules())


def test_parameters_in_training_and_multiplications(configured):
    with torch.device("meta"):
        network = configured("unireplknet-a")(1000, 3)
    assert parameters(network) == 4_649_060
    assert count_macs(merge(network), (3, 224, 224)) == pytest.approx(0.640e9, rel=0.02)  # theirs has norms besides


@pytest.fixture
def published(configured, drawn_by_name, tmp_path: Path) -> tuple[Backbone, Tensor]:
    """A small network in float64 with a file of the published code's names, and pictures.

    Names, shapes and numbers are those of b5677d8, 2025-08-10, of AILab-CVC/UniRepLKNet, drawn on 2026-11-29. Layer
    scales and statistics are far from what they are at first, where they hide errors.
    """
    shapes = GOLDEN["shapes"]
    torch.save({"model": {name: drawn_by_name(name, shape) for name, shape in shapes.items()}}, tmp_path / "stock.pth")
    options = {"depths": (1, 1, 2, 1), "widths": (8, 16, 32, 64), "mixers": MIXERS, "weights": tmp_path / "stock.pth"}
    network = configured("unireplknet-t")(5, 3, **options)
    return network.double().eval(), torch.from_numpy(np.random.RandomState(0).standard_normal((2, 3, 64, 96)))


GOLDEN = json.loads(Path(__file__).with_name("unireplknet.json").read_text())


def test_published_weights_give_the_published_numbers_merged_or_not(published):
    network, x = published
    expected = torch.tensor(GOLDEN["logits"], dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(network(x), expected)
        torch.testing.assert_close(merge(network)(x), expected)
        merged = merge(network.float())(x.float()).double()
    assert (merged - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("rank", [1, 3])
def test_sound_and_videos_have_it_too(configured, fill_by_name, rank: int):
    options = {"depths": (1, 1, 2, 1), "widths": (8, 8, 8, 8), "mixers": MIXERS, "spatial_dims": rank}
    network = configured("unireplknet-t")(4, 2, **options)
    fill_by_name(network)
    network.double().eval()
    x = torch.randn(1, 2, *(32,) * rank, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(merge(network)(x), network(x))

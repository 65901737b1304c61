"""PFLayer: a max pool at the stride of what it replaces."""

from __future__ import annotations

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from blockyard.blocks import PFLayer
from blockyard.plugging import PlugError, plug


@pytest.mark.parametrize("stride", [1, 2])
def test_is_the_max_over_a_window_at_the_hosts_stride(stride: int):
    host = nn.Conv2d(8, 8, 3, stride, 1)
    x = torch.randn(2, 8, 9, 10)
    y = PFLayer(8, host=host)(x)
    assert torch.equal(y, F.max_pool2d(x, 3, stride, 1))
    assert y.shape == host(x).shape


def test_a_window_of_one_is_the_identity():
    x = torch.randn(2, 8, 9, 10)
    assert torch.equal(PFLayer(8, window=1, host=nn.BatchNorm2d(8))(x), x)


def test_clips_are_strided_axis_by_axis():
    host = nn.Conv3d(8, 8, 3, (1, 2, 2), 1)
    assert PFLayer(8, 3, host=host)(torch.randn(1, 8, 4, 6, 6)).shape == (1, 8, 4, 3, 3)


def test_a_resnet50_runs_with_it():
    network = plug(timm.create_model("resnet50"), PFLayer, "layer*.*.conv2", mode="replace")
    network(torch.randn(2, 3, 64, 64)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())


def test_options_and_hosts_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="window must be odd and positive, got 2"):
        PFLayer(8, window=2)
    with pytest.raises(PlugError, match="PFLayer keeps its 64 channels; it cannot replace"):
        plug(timm.create_model("resnet50"), PFLayer, "layer1.0.conv3", mode="replace")

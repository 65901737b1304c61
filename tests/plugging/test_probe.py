"""What the probe feeds a network, and that it leaves no trace."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.backbones import InterpretableCNN, PreResNet
from blockyard.blocks import SpectralNonlocal
from blockyard.plugging import PlugError


def test_the_probe_leaves_no_trace():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.conv = nn.Conv2d(3, 8, 1)
            self.frozen = nn.BatchNorm2d(8).eval().requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.calls = self.calls + torch.rand(())
            return nn.functional.dropout(self.frozen(self.conv(x)))

    network = Counting()
    before, rng = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    plug(network, SpectralNonlocal, ["conv", "frozen"], quiet=True)
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(torch.equal(value, network.state_dict().get(name, value)) for name, value in before.items())
    assert network.calls == 0
    assert network.training
    assert network.conv.training
    assert network.conv.block.training
    assert not network.frozen.training  # the mode follows the host's, the block still learns
    assert not network.frozen.block.training
    assert not any(p.requires_grad for p in network.frozen.host.parameters())
    assert all(p.requires_grad for p in network.frozen.block.parameters())
    assert not any(module._forward_hooks for module in network.modules())


def test_inputs_given_and_guessed():
    with pytest.raises(PlugError, match=r"does not run on the example \(1, 1, 8, 8\)"):
        plug(PreResNet(10), SpectralNonlocal, "layer1", example=(1, 1, 8, 8), quiet=True)
    halving = nn.Sequential(*(nn.Conv2d(3, 3, 2, 2) for _ in range(4)))
    with pytest.raises(PlugError, match=r"on the example \(1, 3, 8, 8\): it is too small for so many strides; Runtime"):
        plug(halving, SpectralNonlocal, "0", example=(1, 3, 8, 8), quiet=True)
    with pytest.raises(PlugError, match=r"^InterpretableCNN: series of 40 samples .* \(the example is \(1, 2, 40\)\)$"):
        plug(InterpretableCNN(2, 2), SpectralNonlocal, "pointwise", example=(1, 2, 40), quiet=True)
    with pytest.raises(PlugError, match="no convolution to guess an input from"):
        plug(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), SpectralNonlocal, "0", quiet=True)
    odd = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Flatten(), nn.Linear(8 * 17 * 17, 3))
    with pytest.raises(PlugError, match=r"runs on none of the inputs tried, \(1, 3, 64, 64\); .* pass example="):
        plug(odd, SpectralNonlocal, "0", quiet=True)
    plug(odd, SpectralNonlocal, "0", example=torch.randn(2, 3, 17, 17), quiet=True)  # its head fails at any other size
    with pytest.raises(PlugError, match="example must be"):
        plug(odd, SpectralNonlocal, "0", example="17x17", quiet=True)
    lenet = nn.Sequential(nn.Conv2d(1, 8, 1), nn.Flatten(), nn.Linear(8 * 28 * 28, 3))
    plug(lenet, SpectralNonlocal, "0", quiet=True)


def test_several_arguments_as_example():
    class TwoStreams(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.slow, self.fast = nn.Conv3d(3, 8, 1), nn.Conv3d(3, 4, 1)

        def forward(self, streams: list[Tensor], scale: float) -> Tensor:
            return scale * self.slow(streams[0]).mean() + self.fast(streams[1]).mean()

    clips = [torch.randn(1, 3, 2, 8, 8), torch.randn(1, 3, 8, 8, 8)]
    network = plug(TwoStreams(), SpectralNonlocal, ["slow", "fast"], example=(clips, 0.5), quiet=True)
    assert network.fast.block.spatial_dims == 3


@pytest.mark.parametrize(("conv", "rank"), [(nn.Conv1d, 1), (nn.Conv2d, 2), (nn.Conv3d, 3)])
def test_every_rank(conv, rank):
    network = plug(nn.Sequential(conv(2, 8, 3, 2, 1)), SpectralNonlocal, "0", quiet=True)
    assert network[0].block.spatial_dims == rank

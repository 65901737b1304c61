"""Blocks per frame in networks of clips, and space-time where there are no clips."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import Tensor, nn

from blockyard import plug
from blockyard.blocks import Block, SpectralNonlocal
from blockyard.plugging import PerFrame, PlugError, SpaceTime, fold_frames, unfold_frames


def tower() -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(3, 8, 3, padding=1), nn.ReLU())


class Sized(Block):
    def __init__(self, channels: int, spatial_dims: int = 2, size: tuple[int, ...] | None = None) -> None:
        super().__init__(channels, spatial_dims)
        self.size = size

    def transform(self, x: Tensor) -> Tensor:
        return x + 0


def test_folding_keeps_the_frames_of_a_clip_together():
    clips = torch.arange(2 * 3 * 4).reshape(2, 3, 4, 1, 1)
    frames = fold_frames(clips)
    assert torch.equal(frames[1], clips[0, :, 1])
    assert torch.equal(frames[4], clips[1, :, 0])
    assert torch.equal(unfold_frames(frames, 4), clips)


def test_per_frame_equals_the_2d_block_on_every_frame():
    network = plug(tower(), SpectralNonlocal, "per-frame 1", quiet=True)
    wrapper = network[1].block
    assert isinstance(wrapper, PerFrame)
    assert wrapper.block.spatial_dims == 2
    nn.init.ones_(wrapper.block.filters[0].norm.weight)
    x = torch.randn(2, 8, 5, 6, 7)
    wrapper.eval()
    torch.testing.assert_close(wrapper(x), torch.stack([wrapper.block(x[:, :, t]) for t in range(5)], 2))


def test_per_frame_goes_with_replace_with_gate_and_with_size():
    network = plug(tower(), SpectralNonlocal, "replace per-frame 1", gate=True, quiet=True)
    assert isinstance(network[1].block.block, PerFrame)
    x = torch.randn(2, 3, 4, 8, 8)
    assert torch.equal(network(x), network[0](x))
    network = plug(tower(), Sized, "after per-frame 1", example=x, quiet=True)
    assert network[1].block.block.size == (8, 8)


def test_the_printed_line_says_the_span(capsys: pytest.CaptureFixture[str]):
    plug(tower(), Sized, "per-frame 1", example=(1, 3, 4, 8, 8))
    assert capsys.readouterr().out == "after per-frame 1: Sized, 0 parameters\n"


def test_per_frame_and_space_time_go_to_the_same_place():
    network = plug(tower(), SpectralNonlocal, ["per-frame 1", "1"], quiet=True)
    assert isinstance(network[1].host.block, PerFrame)
    assert isinstance(network[1].block, SpectralNonlocal)


def test_a_span_that_does_not_fit_is_refused_in_one_line():
    image, clip = timm.create_model("resnet10t"), (1, 3, 4, 8, 8)
    cases = [
        (image, "per-frame layer3", (1, 3, 32, 32), "per-frame is for maps of clips .* 2 spatial axes"),
        (image, "space-time layer3", (1, 3, 32, 32), "space-time needs clips seen frame by frame, as in Framewise"),
        (tower(), "space-time 1", clip, "space-time is for maps of frames .* 3 spatial axes"),
    ]
    for network, at, example, why in cases:
        with pytest.raises(PlugError, match=why) as error:
            plug(network, SpectralNonlocal, at, example=example, quiet=True)
        assert "\n" not in str(error.value)
        assert not any(isinstance(module, PerFrame | SpaceTime) for module in network.modules())
    with pytest.raises(PlugError, match="Sized depends on the map's size"):
        plug(image, Sized, "space-time layer3", example=(1, 3, 32, 32), quiet=True)

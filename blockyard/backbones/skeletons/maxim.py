"""MAXIM: a U-shaped network of multi-axis MLPs, whose maps on the way down and from below gate each other.

Tu et al., MAXIM: Multi-Axis MLP for Image Processing, CVPR 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.skeletons.cross_gating import UP, CrossGating
from blockyard.blocks import MultiAxisMLP, ResidualChannelAttention
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS, LINEAR
from blockyard.blocks.mixers.multi_axis import ChannelNorm, cut, mirrored
from blockyard.blocks.mixers.pointwise import Pointwise
from blockyard.blocks.mixers.raft import interpolation
from blockyard.poolings import Pooling


class Unit(nn.Module):
    """x + mixer(norm x), then a residual channel attention; ``(B, C, *S)`` to the same shape.

    Args:
        channels: C.
        spatial_dims: Rank of S.
        side: Positions of the mixer's block along each axis, and cells of its grid.
        kernel_size: Taps of the channel attention's convolutions along each axis.
    """

    def __init__(self, channels: int, spatial_dims: int, side: int, kernel_size: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(channels)
        self.mixer = MultiAxisMLP(channels, spatial_dims, block_size=side, grid_size=side)
        self.attention = ResidualChannelAttention(channels, spatial_dims, kernel_size=kernel_size)

    def forward(self, x: Tensor) -> Tensor:
        """Mix positions and channels of ``(B, C, *S)``."""
        return self.attention(x + self.mixer(self.norm(x)))


class Level(nn.Sequential):
    """Units, and a way past all of them; ``(B, C, *S)`` to the same shape."""

    def forward(self, x: Tensor) -> Tensor:
        """Let ``(B, C, *S)`` through the units."""
        return x + super().forward(x)


class Gather(nn.Module):
    """Maps of all levels at the size of one, side by side, each by a linear map of its channels.

    Args:
        widths: Channels of the maps.
        channels: Channels that each gets.
    """

    def __init__(self, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(Pointwise(width, channels) for width in widths)

    def forward(self, maps: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """Maps ``(B, width, *S')`` as one ``(B, n · channels, *S)``."""
        return torch.cat([layer(resized(x, size)) for layer, x in zip(self.maps, maps, strict=True)], 1)


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """``(B, C, *S')`` interpolated linearly to ``(B, C, *S)``; where it shrinks, each position counts."""
    if all(there <= wanted for there, wanted in zip(x.shape[2:], size, strict=True)):
        same = all(there == wanted for there, wanted in zip(x.shape[2:], size, strict=True))
        return x if same else F.interpolate(x, tuple(size), mode=LINEAR[len(size)])
    for axis, wanted in enumerate(size, 2):
        x = (x.movedim(axis, -1) @ interpolation(x.shape[axis], wanted, x).t()).movedim(-1, axis)
    return x


class MAXIM(Backbone):
    """One U of MAXIM: the maps on the way up, from the bottom to the full resolution, are its stages.

    Level i, from 0, has 2ⁱ ``width`` channels at a 2ⁱ-th of the resolution; the bottom is one further down, as wide as
    the last. On the way down a level's units, then a strided convolution; on the way up every level gets the maps of
    all levels, which the map from below gates and is gated by. Inputs whose sides 2^(levels) does not divide are
    mirrored at their ends until it does, maps are cut to ⌈S / stride⌉.

    Later U's that see what the first ones made, inputs and losses at several scales, are not there: it is the
    published MAXIM of one stage, without its last convolution.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        width: Channels of the full resolution, a multiple of 4.
        depth: Units of each level and of each part of the bottom.
        sides: Positions of a block along each axis, which is as many as the grid has cells, of each level and, last, of
            the bottom.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        pooling: In place of the mean over positions; called with the channels of the last map.
        bottoms: Parts of the bottom.
        dropout: Probability of dropout before the classifier.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a number is out of range, there is no level, or the weights are not the network's.
    """

    first_convolutions = ("stem",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        width: int = 32,
        depth: int = 2,
        sides: Sequence[int] = (16, 16, 8, 8),
        spatial_dims: int = 2,
        pooling: Callable[[int], Pooling] | None = None,
        bottoms: int = 2,
        dropout: float | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(width, depth, sides, bottoms, spatial_dims)
        self.rank = rank = spatial_dims
        widths = [width * 2**i for i in range(len(sides) - 1)]
        conv, turned, lowest = CONVOLUTIONS[rank], widths[::-1], widths[-1]
        below = [lowest, *turned[:-1]]

        def level(i: int, kernel_size: int = 3) -> Level:
            return Level(*(Unit((*widths, lowest)[i], rank, sides[i], kernel_size) for _ in range(depth)))

        levels = range(len(widths))
        self.stem = conv(in_channels, width, 3, padding=1)
        self.enter = nn.ModuleList(Pointwise(2 * width if i == 0 else widths[i - 1], widths[i]) for i in levels)
        self.down = nn.ModuleList(level(i) for i in levels)
        self.shrink = nn.ModuleList(conv(n, n, 4, 2, 1) for n in widths)
        self.bottom_enter = nn.ModuleList(Pointwise(lowest, lowest) for _ in range(bottoms))
        self.bottom = nn.ModuleList(level(len(widths), 1) for _ in range(bottoms))
        self.seen = nn.ModuleList(Gather(widths, n) for n in turned)
        gates = zip(turned, below, sides[-2::-1], strict=True)
        self.cross = nn.ModuleList(CrossGating(len(widths) * n, under, n, rank, side) for n, under, side in gates)
        self.gated = nn.ModuleList(Gather(turned, n) for n in turned)
        self.grow = nn.ModuleList(UP[rank](under, n, 2, 2) for n, under in zip(turned, below, strict=True))
        self.merge = nn.ModuleList(Pointwise((1 + len(widths)) * n, n) for n in turned)
        self.up = nn.ModuleList(level(i) for i in reversed(levels))
        paths = [f"bottom.{bottoms - 1}", *(f"up.{i}" for i in levels)]
        strides = [2**i for i in reversed(range(len(sides)))]
        self.stages = tuple(map(Stage, paths, (lowest, *turned), strides))
        self.make_head(width, pooling, dropout)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps on the way up, ``(B, stage.channels, *⌈S / stage.stride⌉)`` each."""
        size = x.shape[2:]
        x = self.stem(mirrored(x, [self.stages[0].stride] * len(size)))
        x = torch.cat([x, x], 1)  # the published one's other input of a level, which the first has none of
        kept: list[Tensor] = []
        for enter, down, shrink in zip(self.enter, self.down, self.shrink, strict=True):
            kept.append(down(enter(x)))
            x = shrink(kept[-1])
        for enter, bottom in zip(self.bottom_enter, self.bottom, strict=True):
            x = bottom(enter(x))
        maps, below, gated = [x], x, list[Tensor]()
        for seen, cross, like in zip(self.seen, self.cross, reversed(kept), strict=True):
            one, below = cross(seen(kept, like.shape[2:]), below)
            gated.append(one)
        for grow, gather, merge, up in zip(self.grow, self.gated, self.merge, self.up, strict=True):
            x = grow(x)
            x = up(merge(torch.cat([x, gather(gated, x.shape[2:])], 1)))
            maps.append(x)
        strides = [stage.stride for stage in self.stages]
        return [cut(x, [-(-n // step) for n in size]) for x, step in zip(maps, strides, strict=True)]


def _check(width: int, depth: int, sides: Sequence[int], bottoms: int, spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"MAXIM: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if width < 4 or width % 4 or depth < 1 or bottoms < 1:
        raise ValueError(
            f"MAXIM: width must be a multiple of 4, depth and bottoms at least 1, got {width}, {depth} and {bottoms}"
        )
    if len(sides) < 2 or min(sides) < 1:
        raise ValueError(f"MAXIM: sides must be at least two positive numbers, got {list(sides)}")

"""FullPAD: what a hypergraph of all levels finds is given back all along a pyramid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks import AdaptiveHypergraph
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.heads.neck import Neck

_POOL = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


class HyperACE(nn.Module):
    """One map ``(B, C, *S)`` of what all levels have in common, of the middle one's size, by three branches.

    Two adaptive hypergraphs see relations of any number of positions, a depthwise separable convolution those of
    neighbours, and the third branch leaves the fused maps as they are; a 1×1 convolution brings them together.

    Args:
        channels: Channels C of all maps.
        spatial_dims: Rank of S: 1, 2 or 3.
        levels: Maps.
        edges: Edges of each hypergraph.
    """

    def __init__(self, channels: int, spatial_dims: int, levels: int, edges: int) -> None:
        super().__init__()
        self.middle = levels // 2
        self.fuse = pointwise(levels * channels, channels, spatial_dims)
        heads = next(n for n in (4, 2, 1) if channels % n == 0)
        self.high = nn.ModuleList(
            AdaptiveHypergraph(channels, spatial_dims, edges=edges, heads=heads) for _ in range(2)
        )
        self.low = separable(channels, channels, spatial_dims)
        self.out = pointwise(4 * channels, channels, spatial_dims)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """A map ``(B, C, *S)`` of maps ``(B, C, *S)``, finest first; S is that of the middle one."""
        size = maps[self.middle].shape[2:]
        fused = self.fuse(torch.cat([resized(x, size) for x in maps], 1))
        return self.out(torch.cat([*(block(fused) for block in self.high), self.low(fused), fused], 1))


class FullPAD(Neck):
    """A path down and a path up a pyramid of maps, with HyperACE's map added before, between and behind them.

    Maps become ``(B, channels, *S)``; down, each coarser one is enlarged, joined to the finer one and convolved; up,
    each finer one is halved by a strided convolution, joined and convolved. The map of :class:`HyperACE`, resized, is
    added at all three places with a weight of its own for each place and level, zero at first, so that a fresh neck is
    the two paths alone. Written from what the paper describes, without its code; widths and depths are not its own.

    Args:
        in_channels: Channels of the maps, finest first.
        spatial_dims: Rank of S: 1, 2 or 3.
        channels: Channels of all maps that come out.
        edges: Edges of each hypergraph.
    """

    paper: ClassVar[str] = AdaptiveHypergraph.paper

    def __init__(self, in_channels: Sequence[int], spatial_dims: int = 2, channels: int = 256, edges: int = 8) -> None:
        super().__init__(in_channels, spatial_dims, channels)
        levels, steps = len(in_channels), range(len(in_channels) - 1)
        self.laterals = nn.ModuleList(pointwise(width, channels, spatial_dims) for width in in_channels)
        self.correlation = HyperACE(channels, spatial_dims, levels, edges)
        self.down = nn.ModuleList(separable(2 * channels, channels, spatial_dims) for _ in steps)
        self.up = nn.ModuleList(separable(2 * channels, channels, spatial_dims) for _ in steps)
        self.halve = nn.ModuleList(separable(channels, channels, spatial_dims, stride=2) for _ in steps)
        self.gates = nn.Parameter(torch.zeros(3, levels))
        """Weights of HyperACE's map before the paths, between and behind them, finest level first."""

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, channels, *S)`` of maps ``(B, C, *S)``, finest first, each of its own S."""
        levels = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        found = self.correlation(levels)
        spread = [resized(found, x.shape[2:]) for x in levels]
        levels = self._given(levels, spread, 0)
        for i in reversed(range(len(levels) - 1)):
            coarser = F.interpolate(levels[i + 1], levels[i].shape[2:], mode="nearest")
            levels[i] = self.down[i](torch.cat([levels[i], coarser], 1))
        levels = self._given(levels, spread, 1)
        for i in range(1, len(levels)):
            finer = resized(self.halve[i - 1](levels[i - 1]), levels[i].shape[2:])
            levels[i] = self.up[i - 1](torch.cat([levels[i], finer], 1))
        return self._given(levels, spread, 2)

    def _given(self, levels: Sequence[Tensor], spread: Sequence[Tensor], place: int) -> list[Tensor]:
        """The map of all levels added to each, ``(B, C, *S)``."""
        return [x + gate * y for x, y, gate in zip(levels, spread, self.gates[place], strict=True)]


def resized(x: Tensor, size: Sequence[int]) -> Tensor:
    """``(B, C, *S)`` at another size: repeated along axes that grow, averaged along those that shrink."""
    larger = [max(n, m) for n, m in zip(x.shape[2:], size, strict=True)]
    if larger != list(x.shape[2:]):
        x = F.interpolate(x, larger, mode="nearest")
    return x if larger == list(size) else _POOL[x.dim() - 2](x, list(size))  # type: ignore[arg-type]


def pointwise(channels: int, out: int, spatial_dims: int) -> nn.Sequential:
    """A 1×1 convolution with batch norm and SiLU: ``(B, channels, *S)`` to ``(B, out, *S)``."""
    conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
    return nn.Sequential(conv(channels, out, 1, bias=False), norm(out), nn.SiLU(inplace=True))


def separable(channels: int, out: int, spatial_dims: int, stride: int = 1) -> nn.Sequential:
    """A depthwise convolution of 3 taps along each axis, then a pointwise one: to ``(B, out, *S / stride)``."""
    depthwise = CONVOLUTIONS[spatial_dims](channels, channels, 3, stride, 1, groups=channels, bias=False)
    return nn.Sequential(depthwise, *pointwise(channels, out, spatial_dims))

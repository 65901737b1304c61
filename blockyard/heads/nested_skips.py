"""The decoders of U-Net and UNet++: nodes between every map of a backbone and every finer one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.convolutions.convolution import LINEAR

Upsampling = Literal["nearest", "linear", "transposed"]
TRANSPOSED: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


class Node(nn.Module):
    """Two convolutions on what comes from the coarser level and on what its own level has so far.

    Args:
        below: Channels of the coarser map.
        beside: Channels of all maps of its own level together.
        width: Channels that come out.
        conv: Called with channels in and out; gives a convolution, norm and activation that keep the size.
        upsampling: How the coarser map becomes larger: by ``nearest`` neighbours, ``linear`` interpolation, or a
            ``transposed`` convolution of kernel and stride 2, whose map is repeated or thinned out to the level's size
            where that is not twice as large.
        spatial_dims: Rank of S.

    Raises:
        ValueError: If there is no such upsampling.
    """

    def __init__(
        self,
        below: int,
        beside: int,
        width: int,
        conv: Callable[[int, int], nn.Module],
        upsampling: Upsampling = "nearest",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if upsampling not in ("nearest", "linear", "transposed"):
            raise ValueError(f"upsampling={upsampling!r}: nearest, linear and transposed are there")
        transposed = upsampling == "transposed"
        risen = width if transposed else below
        self.up = TRANSPOSED[spatial_dims](below, risen, 2, 2) if transposed else None
        self.mode = LINEAR[spatial_dims] if upsampling == "linear" else "nearest"
        self.convs = nn.Sequential(conv(risen + beside, width), conv(width, width))

    def forward(self, below: Tensor, beside: Sequence[Tensor], size: Sequence[int]) -> Tensor:
        """A map ``(B, width, *size)`` of ``below (B, C, *S)`` and maps ``(B, ·, *size)``, the latest of them first."""
        risen = below if self.up is None else self.up(below)
        if risen.shape[2:] != torch.Size(size):
            risen = F.interpolate(risen, list(size), mode=self.mode)
        return self.convs(torch.cat([risen, *beside], 1))


class NestedSkips(nn.Module):
    """UNet++'s nodes X[i, j] = H([up(X[i+1, j-1]), X[i, j-1], …, X[i, 0]]) between the maps X[i, 0] of a backbone.

    Zhou et al., UNet++: Redesigning Skip Connections to Exploit Multiscale Features in Image Segmentation, TMI 2020.
    X[0, d] depends on the maps X[0, 0] … X[d, 0] alone, so that it stays what it is where all that is deeper is left
    out. Where nothing is nested, only the outermost nodes X[i, L-i] are there: the decoder of U-Net (Ronneberger et
    al., MICCAI 2015). On two maps, L = 1, both are the same.

    Args:
        channels: Channels of the maps, finest first: L + 1 of them.
        widths: Channels of the outermost nodes X[i, L-i], finest first: L. All others have their level's channels.
        conv: As :class:`Node`'s.
        upsampling: As :class:`Node`'s.
        nested: Whether nodes stand on the way.
        spatial_dims: Rank of S: 1, 2 or 3.

    Raises:
        ValueError: If there are fewer than two maps, or not as many ``widths`` as levels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        widths: Sequence[int],
        conv: Callable[[int, int], nn.Module],
        upsampling: Upsampling = "nearest",
        nested: bool = True,
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        self.depth = len(channels) - 1
        if self.depth < 1 or len(widths) != self.depth:
            raise ValueError(f"skips go from L + 1 maps to L levels, got {len(channels)} maps and {len(widths)} widths")
        self.nested = nested
        width = {(i, 0): count for i, count in enumerate(channels)}
        nodes = {}
        for i, j in self._places(self.depth):
            width[i, j] = widths[i] if i + j == self.depth else channels[i]
            beside = sum(width[i, k] for k in range(j) if (i, k) in width)
            below = width[i + 1, j - 1]
            nodes[f"x{i}_{j}"] = Node(below, beside, width[i, j], conv, upsampling, spatial_dims)
        self.nodes = nn.ModuleDict(nodes)
        self.widths = [width[0, j] for j in range(1, self.depth + 1) if (0, j) in width]
        """Channels of the maps that come out."""

    def forward(self, maps: Sequence[Tensor], depth: int | None = None) -> list[Tensor]:
        """The finest level's nodes X[0, 1] … X[0, depth], ``(B, ·, *S)`` each; U-Net's last alone.

        Args:
            maps: Finest first, ``(B, C, *S)`` each.
            depth: Up to which nodes are evaluated, and maps looked at; None means to the last, L.
        """
        depth = depth or self.depth
        x = {(i, 0): each for i, each in enumerate(maps)}
        for i, j in self._places(depth):
            beside = [x[i, k] for k in reversed(range(j)) if (i, k) in x]
            x[i, j] = self.nodes[f"x{i}_{j}"](x[i + 1, j - 1], beside, maps[i].shape[2:])
        return [x[0, j] for j in range(1, depth + 1) if (0, j) in x]

    def _places(self, depth: int) -> list[tuple[int, int]]:
        """Level i and column j of the nodes in their order."""
        columns = range(1, depth + 1)
        if not self.nested:
            return [(self.depth - j, j) for j in columns]
        return [(i, j) for j in columns for i in reversed(range(depth + 1 - j))]

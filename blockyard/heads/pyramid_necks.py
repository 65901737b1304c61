"""Feature pyramids, and convolutions across their levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.convolutions.convolution import CONVOLUTIONS, LINEAR
from blockyard.heads.neck import Neck

_CONVOLVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class FPN(Neck):
    """Every map made ``channels`` wide, the coarser ones, enlarged, added to it, and a 3×3 convolution of each sum.

    P_l = W_l * (U_l M_l + up(M_{l+1} …)), nearest neighbours; L maps come out of L.

    Args:
        in_channels: Channels of the maps, finest first.
        spatial_dims: Rank of S: 1, 2 or 3.
        channels: Channels of all maps that come out.
    """

    paper: ClassVar[str] = "Lin et al., Feature Pyramid Networks for Object Detection, CVPR 2017"

    def __init__(self, in_channels: Sequence[int], spatial_dims: int = 2, channels: int = 256) -> None:
        super().__init__(in_channels, spatial_dims, channels)
        conv = CONVOLUTIONS[spatial_dims]
        self.laterals = nn.ModuleList(conv(width, channels, 1) for width in in_channels)
        self.convs = nn.ModuleList(conv(channels, channels, 3, padding=1) for _ in in_channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, channels, *S)`` of maps ``(B, C, *S)``, finest first, each of its own S."""
        sums = [lateral(x) for lateral, x in zip(self.laterals, maps, strict=True)]
        for level in reversed(range(len(sums) - 1)):
            sums[level] = sums[level] + F.interpolate(sums[level + 1], sums[level].shape[2:], mode="nearest")
        return [conv(x) for conv, x in zip(self.convs, sums, strict=True)]


class PyramidConvolution(nn.Module):
    """A convolution over space and levels: three kernels, for the finer level, the same, and the coarser one.

    y_l = W_- *_s x_{l-1} + W_0 * x_l + up(W_+ * x_{l+1}) + b, with s the ratio of the two sizes, and linear
    interpolation, corners aligned, where sizes differ after that. Where all maps have one size, it is a convolution of
    one rank more, padded with zeros. Deformable, it moves its taps on all levels but the finest, by offsets that start
    at zero, so that they can have the size that a Gaussian pyramid would need.

    Args:
        channels: Channels of all maps.
        spatial_dims: Rank of S: 1, 2 or 3.
        deformable: Whether taps move, for pictures.
    """

    def __init__(self, channels: int, spatial_dims: int = 2, deformable: bool = False) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.weight = nn.Parameter(torch.empty(3, channels, channels, *[3] * spatial_dims))
        """Kernels for the finer level, the same and the coarser one, in this order."""
        self.bias = nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.weight, std=(3 * channels * 3**spatial_dims) ** -0.5)
        self.offsets = nn.ModuleList(nn.Conv2d(channels, 18, 3, padding=1) for _ in range(3 * deformable))
        for conv in self.offsets:
            nn.init.zeros_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, channels, *S)`` of maps of the same shapes, finest first."""
        outputs = []
        for level, x in enumerate(maps):
            y = self._convolve(x, 1, level)
            if level:
                y = y + self._fitted(self._convolve(maps[level - 1], 0, level, _strides(maps[level - 1], x)), x)
            if level + 1 < len(maps):
                y = y + self._fitted(self._convolve(maps[level + 1], 2, level), x)
            outputs.append(y + self.bias.view(-1, *[1] * self.spatial_dims))
        return outputs

    def _fitted(self, y: Tensor, like: Tensor) -> Tensor:
        size = like.shape[2:]
        mode = LINEAR[self.spatial_dims]
        return y if y.shape[2:] == size else F.interpolate(y, size, mode=mode, align_corners=True)

    def _convolve(self, x: Tensor, kernel: int, level: int, stride: Sequence[int] | None = None) -> Tensor:
        weight, strides = self.weight[kernel], list(stride or [1] * self.spatial_dims)
        if level and self.offsets:
            from torchvision.ops import deform_conv2d  # which nothing else here needs

            offset = self.offsets[kernel]
            moved = F.conv2d(x, offset.weight, offset.bias, strides, 1)  # type: ignore[arg-type]
            return deform_conv2d(x, moved, weight, None, (strides[0], strides[1]), (1, 1))
        return _CONVOLVE[self.spatial_dims](x, weight, None, strides, 1)


class IntegratedBatchNorm(nn.Module):
    """Batch normalisation by statistics over all positions of all levels.

    Args:
        channels: Channels of all maps.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, C, *S)``, normalised; as of their positions in a row, ``(B, C, N_1 + … + N_L)``."""
        flat = [x.flatten(2) for x in maps]
        rows = self.norm(torch.cat(flat, 2)).split([x.shape[2] for x in flat], 2)
        return [row.reshape(x.shape) for row, x in zip(rows, maps, strict=True)]


class SEPC(Neck):
    """A feature pyramid, then ``depth`` times a convolution across its levels, integrated batch norm and ReLU.

    Args:
        in_channels: Channels of the maps, finest first.
        spatial_dims: Rank of S: 1, 2 or 3; 2 alone if ``deformable``.
        channels: Channels of all maps that come out.
        depth: Convolutions across the levels.
        deformable: Whether their taps move to equalise scale, on all levels but the finest.

    Raises:
        ValueError: If ``depth`` is not positive, or maps of another rank are to be deformable.
    """

    paper: ClassVar[str] = "Wang et al., Scale-Equalizing Pyramid Convolution for Object Detection, CVPR 2020"

    def __init__(
        self,
        in_channels: Sequence[int],
        spatial_dims: int = 2,
        channels: int = 256,
        depth: int = 4,
        deformable: bool = False,
    ) -> None:
        super().__init__(in_channels, spatial_dims, channels)
        if depth < 1 or (deformable and spatial_dims != 2):
            raise ValueError(
                f"SEPC: depth must be positive and deformable pictures' alone, got {depth=}, {spatial_dims=}"
            )
        self.fpn = FPN(in_channels, spatial_dims, channels)
        self.convs = nn.ModuleList(PyramidConvolution(channels, spatial_dims, deformable) for _ in range(depth))
        self.norms = nn.ModuleList(IntegratedBatchNorm(channels) for _ in range(depth))
        self.without_effect = tuple(f"convs.{i}.bias" for i in range(depth))  # the norms behind take them away

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``(B, channels, *S)`` of maps ``(B, C, *S)``, finest first, each of its own S."""
        levels = self.fpn(maps)
        for conv, norm in zip(self.convs, self.norms, strict=True):
            levels = [F.relu(x) for x in norm(conv(levels))]
        return levels


def _strides(fine: Tensor, coarse: Tensor) -> list[int]:
    """Positions of the finer map for one of the coarser, along each axis."""
    return [max(1, round(n / m)) for n, m in zip(fine.shape[2:], coarse.shape[2:], strict=True)]

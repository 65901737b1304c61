"""Mixers that multiply what they mix with what they do not."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, positions
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS, LINEAR
from blockyard.blocks.half_precision import Layer, ranged_layer, roomy
from blockyard.blocks.mixers.convolutions import odd


class RecursiveGatedConvolution(Block):
    """P ← W(P) ⊙ K∗Q / α, n times, with ever more channels: products of n + 1 linear maps of x (gⁿConv).

    Args:
        channels: Channels C; the first product is of C / 2ⁿ⁻¹ channels, the last of C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        order: n.
        kernel_size: Taps of the depthwise convolution along each axis, odd.
        scale: 1 / α.
        global_filter: Whether a :class:`GlobalLocalFilter` stands in place of that convolution.
        size: Positions along each axis that its filter is for, S; the skeletons and ``plug`` hand it over. None is 14
            along each axis.

    Raises:
        ValueError: If ``order`` does not fit the channels, the kernel is not odd and positive, or ``size`` does not fit
            the rank.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Rao et al., HorNet: Efficient High-Order Spatial Interactions with Recursive Gated Convolutions, NeurIPS 2022"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        order: int = 3,
        kernel_size: int = 7,
        scale: float = 1 / 3,
        global_filter: bool = False,
        size: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        halvings = order if global_filter else order - 1
        if order < 1 or channels % 2**halvings:
            raise ValueError(
                f"RecursiveGatedConvolution: order must be at least 1, and 2^(order - 1), with global_filter 2^order, "
                f"divide {channels} channels, got {order}"
            )
        taps = odd(kernel_size, "RecursiveGatedConvolution", "kernel_size")
        conv = CONVOLUTIONS[spatial_dims]
        self.widths = tuple(channels // 2**k for k in reversed(range(order)))
        self.scale = scale
        self.expand = conv(channels, 2 * channels, 1)
        total = sum(self.widths)
        self.context: GlobalLocalFilter | Layer
        if global_filter:
            self.context = GlobalLocalFilter(total, spatial_dims, size)
        else:
            self.context = conv(total, total, taps, 1, taps // 2, groups=total)
        self.widen = nn.ModuleList(conv(width, 2 * width, 1) for width in self.widths[:-1])
        self.project = conv(channels, channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        first, rest = self.expand(x).to(roomy(x)).split([self.widths[0], sum(self.widths)], 1)
        head, *others = (self._mixed(rest) * self.scale).split(self.widths, 1)
        product = first * head
        for layer, factor in zip(self.widen, others, strict=True):
            product = ranged_layer(cast("Layer", layer), product) * factor
        return ranged_layer(self.project, product)

    def _mixed(self, x: Tensor) -> Tensor:
        return self.context(x) if isinstance(self.context, GlobalLocalFilter) else ranged_layer(self.context, x)


class GlobalLocalFilter(nn.Module):
    """Of half the channels a depthwise convolution of three taps, of the others a learned filter of all frequencies.

    The filter is one complex number for each frequency and channel, a circular convolution as wide as the map; on maps
    of another size than it is for, it is interpolated. A norm over channels stands before and after.

    Args:
        channels: Channels, even.
        spatial_dims: Rank of S in ``(B, channels, *S)``.
        size: Positions along each axis, S; None is 14 along each.

    Raises:
        ValueError: If the channels are odd or ``size`` does not fit the rank.
    """

    def __init__(self, channels: int, spatial_dims: int = 2, size: tuple[int, ...] | None = None) -> None:
        super().__init__()
        self.size = positions(size, spatial_dims, "GlobalLocalFilter")
        if channels % 2:
            raise ValueError(f"GlobalLocalFilter: channels must be even, got {channels}")
        half = channels // 2
        self.norm1 = nn.LayerNorm(channels, 1e-6)
        self.local = CONVOLUTIONS[spatial_dims](half, half, 3, 1, 1, groups=half, bias=False)
        self.filter = nn.Parameter(0.02 * torch.randn(half, *_frequencies(self.size), 2))
        self.norm2 = nn.LayerNorm(channels, 1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, *S)`` to the same shape; channels of both kinds take turns."""
        near, far = _normalised(self.norm1, x).chunk(2, 1)
        both = torch.stack([self.local(near).to(x.dtype), self.filtered(far).to(x.dtype)], 2)
        return _normalised(self.norm2, both.flatten(1, 2))

    def filtered(self, x: Tensor) -> Tensor:
        """A circular convolution of each channel, ``(B, channels / 2, *S)`` to the same shape."""
        if not len(x):
            return x * self.filter.sum()  # which libraries of transforms refuse
        axes, size = tuple(range(2, x.dim())), x.shape[2:]
        with torch.autocast(x.device.type, enabled=False):  # transforms are sums over all positions
            wide = x.float() if x.itemsize < 4 else x
            response = torch.view_as_complex(self._response(tuple(size)).to(wide.dtype).contiguous())
            return torch.fft.irfftn(torch.fft.rfftn(wide, dim=axes) * response, size, axes).to(x.dtype)

    def _response(self, size: tuple[int, ...]) -> Tensor:
        if _frequencies(size) == tuple(self.filter.shape[1:-1]):
            return self.filter
        parts = self.filter.movedim(-1, 0)
        mode = LINEAR[len(size)]
        return F.interpolate(parts, _frequencies(size), mode=mode, align_corners=True).movedim(0, -1)


def _frequencies(size: tuple[int, ...]) -> tuple[int, ...]:
    """Of a real signal: of the last axis, half of them."""
    return *size[:-1], size[-1] // 2 + 1


def _normalised(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    return norm(x.movedim(1, -1)).movedim(-1, 1).to(x.dtype)

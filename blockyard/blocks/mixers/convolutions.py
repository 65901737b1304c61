"""Mixers that are depthwise convolutions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.activations import StarReLU
from blockyard.blocks.base import Block, Mergeable, Slot
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.half_precision import ranged, roomy


def odd(value: int, block: str, option: str) -> int:
    """A number of taps that has a middle.

    Raises:
        ValueError: If it has none.
    """
    if value < 1 or value % 2 == 0:
        raise ValueError(f"{block}: {option} must be odd and positive, got {value}")
    return value


def bands(taps: int, spatial_dims: int) -> list[tuple[int, ...]]:
    """Shapes of kernels that run along one axis each; the last axis comes first, as in papers."""
    axes = range(spatial_dims)
    return [tuple(taps if axis == along else 1 for axis in axes) for along in reversed(axes)]


class DepthwiseConvolution(Block, Mergeable):
    """A convolution of each channel by itself (ConvNeXt: seven taps along each axis).

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_size: Taps along each axis, odd.
        bias: Whether there is a bias.

    Raises:
        ValueError: If the kernel is not odd and positive.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Liu et al., A ConvNet for the 2020s, CVPR 2022"

    def __init__(self, channels: int, spatial_dims: int = 2, *, kernel_size: int = 7, bias: bool = True) -> None:
        super().__init__(channels, spatial_dims)
        size = odd(kernel_size, "DepthwiseConvolution", "kernel_size")
        self.conv = CONVOLUTIONS[spatial_dims](channels, channels, size, 1, size // 2, groups=channels, bias=bias)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.conv(x)

    def merged(self) -> nn.Module:
        """The convolution alone."""
        return self.conv


class SeparableConvolution(Block):
    """1×1 to r·C channels, an activation, a depthwise convolution, 1×1 back: MobileNetV2's, turned over (ConvFormer).

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        expansion: r.
        kernel_size: Taps along each axis, odd.

    Raises:
        ValueError: If the kernel is not odd and positive, or there is no channel between.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Yu et al., MetaFormer Baselines for Vision, TPAMI 2024"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        expansion: float = 2.0,
        kernel_size: int = 7,
    ) -> None:
        super().__init__(channels, spatial_dims)
        size, width = odd(kernel_size, "SeparableConvolution", "kernel_size"), int(expansion * channels)
        if width < 1:
            raise ValueError(f"SeparableConvolution: expansion={expansion} leaves no channel of {channels}")
        conv = CONVOLUTIONS[spatial_dims]
        self.expand = conv(channels, width, 1, bias=False)
        self.act = StarReLU(width, spatial_dims)
        self.depthwise = conv(width, width, size, 1, size // 2, groups=width, bias=False)
        self.project = conv(width, channels, 1, bias=False)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        hidden = self.act(self.expand(x).to(roomy(x)))
        mixed = ranged(self.depthwise, hidden, terms=self.depthwise.weight[0].numel())
        return ranged(self.project, mixed, terms=mixed.shape[1])


class LocalRelationAggregator(Block):
    """Y = U [A_n V_n x]_n, (A_n)_pq = a_n(p − q): attention whose affinity is learned for each offset, not asked for.

    Each channel n of V x is a head of its own, and near positions alone have an affinity, so that A is a depthwise
    convolution (UniFormer's early stages; its late ones have
    :class:`~blockyard.blocks.SelfAttention`).

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_size: Offsets p − q along each axis, odd.

    Raises:
        ValueError: If the kernel is not odd and positive.
    """

    identity_at_init = False
    own_init: ClassVar[bool] = True  # three maps in a row, which would all but vanish at σ = 0.02
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Li et al., UniFormer: Unifying Convolution and Self-attention for Visual Recognition, TPAMI 2023"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, kernel_size: int = 5) -> None:
        super().__init__(channels, spatial_dims)
        size, conv = odd(kernel_size, "LocalRelationAggregator", "kernel_size"), CONVOLUTIONS[spatial_dims]
        self.value = conv(channels, channels, 1)
        self.affinity = conv(channels, channels, size, 1, size // 2, groups=channels)
        self.project = conv(channels, channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.project(self.affinity(self.value(x)))


class InceptionConvolution(Block):
    """Depthwise convolutions of a few channels each: a small cube, a long band along each axis; the rest pass.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        ratio: Part of the channels that each convolution has.
        square: Taps of the cube along each axis, odd.
        band: Taps of the bands, odd.

    Raises:
        ValueError: If a kernel is not odd and positive, or the parts hold no channel or more than there are.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Yu et al., InceptionNeXt: When Inception Meets ConvNeXt, CVPR 2024"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, ratio: float = 0.125, square: int = 3, band: int = 11
    ) -> None:
        super().__init__(channels, spatial_dims)
        odd(square, "InceptionConvolution", "square")
        odd(band, "InceptionConvolution", "band")
        width, parts = int(channels * ratio), spatial_dims + 1
        if width < 1 or parts * width > channels:
            raise ValueError(
                f"InceptionConvolution: ratio={ratio} makes {parts} parts of {width} of {channels} channels"
            )
        shapes = [(square,) * spatial_dims, *bands(band, spatial_dims)]
        self.convs = nn.ModuleList(_depthwise(width, shape) for shape in shapes)
        self.widths = (channels - parts * width, *(width,) * parts)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        passed, *parts = x.split(self.widths, 1)
        return torch.cat([passed, *(conv(part) for conv, part in zip(self.convs, parts, strict=True))], 1)


def _depthwise(width: int, shape: tuple[int, ...]) -> nn.Module:
    padding = tuple(taps // 2 for taps in shape)
    return CONVOLUTIONS[len(shape)](width, width, shape, 1, padding, groups=width)  # type: ignore[arg-type]

"""Inverted residual units: wide inside, thin outside, linear where they are thin."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS


class InvertedResidual(Block):
    """Y = X + BN(P relu6(BN(K ∗ relu6(BN(E X))))), E to t·C channels, K depthwise, P back to C without an activation.

    The last norm's weight starts at zero, so that a fresh block changes nothing; in MobileNetV2, which timm has as
    ``mobilenetv2_100``, it starts at one.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        expansion: t.
        kernel_size: Taps of K along each axis, odd.

    Raises:
        ValueError: If ``expansion`` leaves no channel between, or the kernel is not odd and positive.
    """

    paper: ClassVar[str] = "Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, CVPR 2018"

    def __init__(self, channels: int, spatial_dims: int = 2, *, expansion: float = 6.0, kernel_size: int = 3) -> None:
        super().__init__(channels, spatial_dims)
        wide = _wide(channels, expansion, kernel_size, "InvertedResidual")
        conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        self.expand = nn.Sequential(conv(channels, wide, 1, bias=False), norm(wide), nn.ReLU6(inplace=True))
        self.depthwise = nn.Sequential(
            conv(wide, wide, kernel_size, padding=kernel_size // 2, groups=wide, bias=False),
            norm(wide),
            nn.ReLU6(inplace=True),
        )
        last = norm(channels)
        self.project = nn.Sequential(conv(wide, channels, 1, bias=False), last)
        nn.init.zeros_(last.get_parameter("weight"))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return x + self.project(self.depthwise(self.expand(x))).to(x.dtype)


class FusedInvertedResidual(Block):
    """Y = X + BN(P silu(BN(K ∗ X))), K to t·C channels, P back to C without an activation.

    One dense convolution does what an :class:`InvertedResidual`'s first two do. It is a whole unit: a skeleton whose
    mixer it is puts nothing around it. The last norm's weight starts at zero, so that a fresh block changes nothing.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        expansion: t.
        kernel_size: Taps of K along each axis, odd.

    Raises:
        ValueError: If ``expansion`` leaves no channel between, or the kernel is not odd and positive.
    """

    slot: ClassVar[Slot] = "mixer"
    whole_unit: ClassVar[bool] = True
    paper: ClassVar[str] = "Tan and Le, EfficientNetV2: Smaller Models and Faster Training, ICML 2021"

    def __init__(self, channels: int, spatial_dims: int = 2, *, expansion: float = 4.0, kernel_size: int = 3) -> None:
        super().__init__(channels, spatial_dims)
        wide = _wide(channels, expansion, kernel_size, "FusedInvertedResidual")
        conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        self.expand = nn.Sequential(
            conv(channels, wide, kernel_size, padding=kernel_size // 2, bias=False), norm(wide), nn.SiLU(inplace=True)
        )
        last = norm(channels)
        self.project = nn.Sequential(conv(wide, channels, 1, bias=False), last)
        nn.init.zeros_(last.get_parameter("weight"))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return x + self.project(self.expand(x)).to(x.dtype)


def _wide(channels: int, expansion: float, kernel_size: int, block: str) -> int:
    """The channels between."""
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{block}: kernel_size must be odd and positive, got {kernel_size}")
    if (wide := int(expansion * channels)) < 1:
        raise ValueError(f"{block}: expansion={expansion} leaves no channel of {channels}")
    return wide

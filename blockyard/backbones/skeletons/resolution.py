"""How a pyramid makes its maps smaller."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from blockyard.backbones.skeletons.parts import Norm, norm
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS


@dataclass(frozen=True)
class Resolution:
    """The convolutions before the first stage, with a norm behind, and between the stages, with a norm before.

    Attributes:
        stem_kernel: Taps of the first convolution along each axis.
        stem_stride: Its stride.
        kernel: Taps of the convolutions between the stages.
        stride: Their stride.
        norm: Kind of the norms, as of :class:`Style`.
        norm_bias: Whether these have a bias.
    """

    stem_kernel: int = 7
    stem_stride: int = 4
    kernel: int = 3
    stride: int = 2
    norm: Norm = "layer"
    norm_bias: bool = True

    def __post_init__(self) -> None:
        """Refuse what skips positions of the input, or has none.

        Raises:
            ValueError: If a stride is below 1 or above its kernel.
        """
        for name in ("stem_", ""):
            kernel, stride = getattr(self, f"{name}kernel"), getattr(self, f"{name}stride")
            if not 1 <= stride <= kernel:
                raise ValueError(f"resolution: {name}stride must be 1 to {name}kernel, {kernel}, got {stride}")

    def strides(self, count: int) -> list[int]:
        """Input pixels per pixel of the map of each stage."""
        return [self.stem_stride * self.stride**i for i in range(count)]

    def sizes(self, size: Sequence[int], count: int) -> list[tuple[int, ...]]:
        """Positions along each axis of the map of each stage, for an input of ``size``."""
        sizes = []
        for i in range(count):
            kernel, stride = (self.kernel, self.stride) if i else (self.stem_kernel, self.stem_stride)
            size = [(n + 2 * _padding(kernel, stride) - kernel) // stride + 1 for n in size]
            sizes.append(tuple(size))
        return sizes

    def before(self, in_channels: int, channels: int, spatial_dims: int, *, first: bool) -> nn.Sequential:
        """What stands before a stage: ``(B, in_channels, *S)`` to ``(B, channels, *S / stride)``."""
        kernel, stride = (self.stem_kernel, self.stem_stride) if first else (self.kernel, self.stride)
        conv = CONVOLUTIONS[spatial_dims](in_channels, channels, kernel, stride, _padding(kernel, stride))
        around = norm(self.norm, channels if first else in_channels, spatial_dims, bias=self.norm_bias)
        return nn.Sequential(conv, around) if first else nn.Sequential(around, conv)


def _padding(kernel: int, stride: int) -> int:
    """What leaves ⌈n / stride⌉ of n positions where the two have the same parity, or the kernel is odd."""
    return (kernel - stride + 1) // 2

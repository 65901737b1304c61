"""Two convolutions, and a gate for each channel of what they make (RCAN, MAXIM)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from blockyard.blocks.base import Block, divide
from blockyard.blocks.channels.squeeze_excitation import SqueezeExcitation
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.convolutions import odd
from blockyard.blocks.mixers.multi_axis import ChannelNorm, smooth


class ResidualChannelAttention(Block):
    """Y = X + SE(K₂ ∗ leaky(K₁ ∗ X̂)): two convolutions of a norm over channels, each channel weighed by its mean.

    The norm and the slope are those of MAXIM (Tu et al., CVPR 2022), which has such a unit behind every mixer.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_size: Taps of both convolutions along each axis, odd. With 1 a GELU stands between, as at the bottom of
            MAXIM: then it is an MLP whose channels are weighed.
        negative_slope: Of the leaky ReLU.
        reduction: C over the channels of the gate's hidden layer.

    Raises:
        ValueError: If the kernel is not odd and positive, or ``reduction`` does not divide ``channels``.
    """

    identity_at_init = False
    paper: ClassVar[str] = (
        "Zhang et al., Image Super-Resolution Using Very Deep Residual Channel Attention Networks, ECCV 2018"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        kernel_size: int = 3,
        negative_slope: float = 0.2,
        reduction: int = 4,
    ) -> None:
        super().__init__(channels, spatial_dims)
        divide(channels, reduction, "ResidualChannelAttention")
        taps = odd(kernel_size, "ResidualChannelAttention", "kernel_size")
        convolution = CONVOLUTIONS[spatial_dims]
        self.norm = ChannelNorm(channels)
        self.conv1, self.conv2 = (convolution(channels, channels, taps, padding=taps // 2) for _ in range(2))
        self.gate = SqueezeExcitation(channels, spatial_dims, reduction=reduction)
        self.kernel_size, self.negative_slope = taps, negative_slope

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        made = self.conv1(self.norm(x))
        made = smooth(made) if self.kernel_size == 1 else F.leaky_relu(made, self.negative_slope)
        return x + self.gate(self.conv2(made))

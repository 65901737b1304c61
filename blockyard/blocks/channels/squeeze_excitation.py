"""Squeeze-and-excitation (SE) and its efficient form (ECA): one gate a channel, from the mean over positions."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn

from blockyard.blocks.base import Block, divide


def rescale(x: Tensor, gate: Tensor) -> Tensor:
    """Multiply each channel of a map ``(B, C, *S)`` by a gate ``(B, C)``."""
    return x * gate[(...,) + (None,) * (x.dim() - 2)]


class SqueezeExcitation(Block):
    """Y = x · σ(W₂ relu(W₁ x̄ + b₁) + b₂), x̄ the mean over positions.

    The papers' SE-ResNets have it at the end of every residual branch: after ``layer*.*.bn3``.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C over the channels of the hidden layer.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``.
    """

    identity_at_init = False
    paper: ClassVar[str] = "Hu et al., Squeeze-and-Excitation Networks, CVPR 2018"

    def __init__(self, channels: int, spatial_dims: int = 2, *, reduction: int = 16) -> None:
        super().__init__(channels, spatial_dims)
        hidden = divide(channels, reduction, "SqueezeExcitation")
        self.squeeze = nn.Linear(channels, hidden)
        self.excite = nn.Linear(hidden, channels)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return rescale(x, self.excite(self.squeeze(x.flatten(2).mean(2)).relu()).sigmoid())


class ECA(Block):
    """Y = x · σ(k ∗ x̄): one kernel runs over the channels of the mean, without bias and without reduction.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kernel_size: Odd length k of the kernel. None is the paper's rule, see :func:`eca_kernel_size`. The paper's
            ResNets do not follow that rule: their kernels are 3, 5, 5, 7 by stage, set by hand.

    Raises:
        ValueError: If ``kernel_size`` is even or not positive.
    """

    identity_at_init = False
    paper: ClassVar[str] = (
        "Wang et al., ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks, CVPR 2020"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, kernel_size: int | None = None) -> None:
        super().__init__(channels, spatial_dims)
        length = eca_kernel_size(channels) if kernel_size is None else kernel_size
        if length < 1 or length % 2 == 0:
            raise ValueError(f"ECA: kernel_size must be odd and positive, got {length}")
        self.conv = nn.Conv1d(1, 1, length, padding=length // 2, bias=False)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return rescale(x, self.conv(x.flatten(2).mean(2).unsqueeze(1)).squeeze(1).sigmoid())


def eca_kernel_size(channels: int) -> int:
    """The kernel length for C channels: ⌊(log₂ C + 1) / 2⌋, or one more where that is even; at least 3."""
    length = int((math.log2(channels) + 1) / 2)
    return max(3, length + 1 - length % 2)

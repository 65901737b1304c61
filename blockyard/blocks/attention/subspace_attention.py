"""Ultra-lightweight subspace attention (ULSAM): one attention map for each group of channels."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, divide


class ULSAM(Block):
    """Y = x + a_g x in each of g groups of channels, a_g a softmax over all positions.

    a_g = softmax(relu(BN(w_g · maxpool₃(relu(BN(v x)))))), v one factor a channel and w_g a projection of the group
    to one map. What the paper calls a depthwise convolution is 1×1.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        groups: g.
        bias: Whether v and w have biases, as in the paper's count 5 C + 3 g. The batch norms behind them cancel them:
            without, it is 4 C + 2 g and the same function.

    Raises:
        ValueError: If ``groups`` does not divide ``channels``.
    """

    identity_at_init = False
    paper: ClassVar[str] = (
        "Saini et al., ULSAM: Ultra-Lightweight Subspace Attention Module for Compact Convolutional Neural Networks, "
        "WACV 2020"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, groups: int = 4, bias: bool = False) -> None:
        super().__init__(channels, spatial_dims)
        divide(channels, groups, "ULSAM", "groups")
        self.depthwise = nn.Conv1d(channels, channels, 1, groups=channels, bias=bias)
        self.depthwise_norm = nn.BatchNorm1d(channels)
        self.pointwise = nn.Conv1d(channels, groups, 1, groups=groups, bias=bias)
        self.pointwise_norm = nn.BatchNorm1d(groups)
        # Batch norms follow: they take a shift away, and the size of a factor that a channel has to itself.
        self.without_effect = ("*wise.bias",) if bias else ()
        self.without_scale = ("depthwise.weight", *["pointwise.weight"] * (groups == channels))
        self.groups = groups

    def attention(self, x: Tensor) -> Tensor:
        """The maps a of ``(B, C, *S)``, ``(B, g, N)``; each sums to one."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.spatial_dims - 1]
        signal = self.depthwise_norm(self.depthwise(x.flatten(2))).relu()
        pooled = pool(signal.unflatten(2, x.shape[2:]), 3, 1, 1).flatten(2)
        return self.pointwise_norm(self.pointwise(pooled)).relu().softmax(2)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        attention = self.attention(x).to(x.dtype).unsqueeze(2)
        grouped = x.flatten(2).unflatten(1, (self.groups, -1))
        return (grouped + grouped * attention).reshape(x.shape)

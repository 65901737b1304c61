"""Activations that learn."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot


class StarReLU(Block):
    """Y = s · relu(x)² + b, s and b one number each.

    s = 2/√5 and b = −1/√5 at first, with which standard normal input keeps mean 0 and variance 1.

    Args:
        channels: Channels C; the block holds two numbers whatever they are.
        spatial_dims: Rank of S in ``(B, C, *S)``.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "activation"
    paper: ClassVar[str] = "Yu et al., MetaFormer Baselines for Vision, TPAMI 2024"

    def __init__(self, channels: int, spatial_dims: int = 2) -> None:
        super().__init__(channels, spatial_dims)
        self.scale = nn.Parameter(torch.tensor(2 / 5**0.5))
        self.bias = nn.Parameter(torch.tensor(-1 / 5**0.5))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.scale * x.relu().square() + self.bias

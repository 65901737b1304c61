"""Convolutions that look at a large neighbourhood to say how a small one is summed up."""

from __future__ import annotations

from itertools import product
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.mixers.convolutions import odd


class LSConvolution(Block):
    """Y_p = Σ_δ w_p,δ ⊙ x_p+δ, w = GN(W₄ relu(BN(W₃ BN(K ∗ relu(BN(W₁ x)))))): a kernel for each position.

    K is depthwise and large, δ runs over a small cube, and neighbouring channels share a kernel. LSNet adds a norm and
    a residual, as its :class:`~blockyard.backbones.LSNet` does.

    Args:
        channels: Channels C, even.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        large: Taps of K along each axis, odd.
        small: Positions δ along each axis, odd.
        shared: Channels that share a kernel.

    Raises:
        ValueError: If ``channels`` is odd, ``shared`` does not divide it, or a number of taps is not odd and positive.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    without_effect = ("look.1.bias",)  # a shift, which the next norm takes away
    paper: ClassVar[str] = "Wang et al., LSNet: See Large, Focus Small, CVPR 2025"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, large: int = 7, small: int = 3, shared: int = 8
    ) -> None:
        super().__init__(channels, spatial_dims)
        if channels % 2:
            raise ValueError(f"LSConvolution: channels must be even, got {channels}")
        self.kernels = divide(channels, shared, "LSConvolution", "shared")
        half = channels // 2
        taps, self.small = odd(large, "LSConvolution", "large"), odd(small, "LSConvolution", "small")
        conv, norm = CONVOLUTIONS[spatial_dims], BATCH_NORMS[spatial_dims]
        weights = self.kernels * small**spatial_dims
        self.reduce = nn.Sequential(conv(channels, half, 1, bias=False), norm(half), nn.ReLU(inplace=True))
        self.look = nn.Sequential(conv(half, half, taps, padding=taps // 2, groups=half, bias=False), norm(half))
        self.mix = nn.Sequential(conv(half, half, 1, bias=False), norm(half), nn.ReLU(inplace=True))
        self.predict = nn.Sequential(conv(half, weights, 1), nn.GroupNorm(self.kernels, weights))

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        weights = self.predict(self.mix(self.look(self.reduce(x))))
        return aggregate(x, weights.unflatten(1, (self.kernels, -1)), self.small).to(x.dtype)


def aggregate(x: Tensor, weights: Tensor, size: int) -> Tensor:
    """The sum over a cube around each position, weighted by what that position says; outside the map is zero.

    No map is copied for the gradient, which an unfolded one would be, size^rank times.

    Args:
        x: ``(B, C, *S)``.
        weights: ``(B, G, size^rank, *S)``, for G groups of neighbouring channels; the last axis runs fastest.
        size: Positions of the cube along each axis, odd.

    Returns:
        ``(B, C, *S)``.
    """
    around = F.pad(x, (size // 2,) * 2 * (x.dim() - 2)).unflatten(1, (weights.shape[1], -1))
    total = None
    for tap, offset in enumerate(product(range(size), repeat=x.dim() - 2)):
        window = around[(..., *(slice(start, start + n) for start, n in zip(offset, x.shape[2:], strict=True)))]
        part = weights[:, :, tap, None] * window
        total = part if total is None else total + part
    assert total is not None
    return total.flatten(1, 2)

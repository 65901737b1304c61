"""So-ViT's second-order pooling: cross-covariances in several heads, normalised by the largest singular value."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.half_precision import roomy
from blockyard.poolings.base import Pooling

SMALL = 1e-5
"""A smaller singular value doesn't scale its matrix any further: the power's slope has no bound at zero."""


class CrossCovariance(Pooling):
    """In each head z = svPN(P Qᵀ / N): P and Q two centred projections of the positions to d channels.

    The normalisation raises the largest singular value σ₁ to the power α and divides the others by σ₁^(1-α). So-ViT
    adds the scores of this vector to those of the class token: one classifier of both side by side, which is what a
    backbone makes of a pooling where it has that token.

    Args:
        channels: Channels C of the feature map, or of the tokens.
        heads: Heads h; the vector has h d² entries.
        inner: d.
        power: α.
        iterations: Power iterations that find a singular value, from a learned start.
        singular_values: So many of the largest are found one by one and raised to α; the rest are divided by the last
            one's σ^(1-α).

    Raises:
        ValueError: If an option is not positive, α is over 1, or there are fewer singular values than that.
    """

    paper: ClassVar[str] = "Xie et al., So-ViT: Mind Visual Tokens for Vision Transformer, arXiv 2104.10935, 2021"

    def __init__(
        self,
        channels: int,
        heads: int = 6,
        inner: int = 14,
        power: float = 0.5,
        iterations: int = 1,
        singular_values: int = 1,
    ) -> None:
        super().__init__(channels, heads * inner**2)
        if min(heads, inner, iterations) < 1:
            raise ValueError(
                f"CrossCovariance: heads, inner and iterations must be at least 1, got {heads}, {inner}, {iterations}"
            )
        if not 0 < power <= 1:
            raise ValueError(f"CrossCovariance: power must lie over 0 and up to 1, got {power}")
        if not 1 <= singular_values <= inner:
            raise ValueError(f"CrossCovariance: singular_values must be 1 to inner={inner}, got {singular_values}")
        self.project = nn.Conv1d(channels, 2 * heads * inner, 1, bias=False)
        self.start = nn.Parameter(torch.randn(inner))
        if power == 1 or inner == 1:
            self.without_effect = ("start",)  # what is raised to 1 need not be found; of one number it is the sign
        self.heads = heads
        self.power = power
        self.iterations = iterations
        self.singular_values = singular_values

    def pool(self, signal: Tensor) -> Tensor:
        """Pool ``(B, C, N)`` to ``(B, h d²)``."""
        projected = self.project(signal)
        dtype = roomy(projected)
        with torch.autocast(signal.device.type, enabled=False):
            wide = projected.float() if projected.itemsize < 4 else projected
            left, right = wide.unflatten(1, (2, self.heads, -1)).unbind(1)
            matrices = cross_covariance(left, right)
            normed = singular_power(
                matrices, self.start.to(wide.dtype), self.power, self.iterations, self.singular_values
            )
            return normed.flatten(1).to(dtype)


def cross_covariance(left: Tensor, right: Tensor) -> Tensor:
    """Covariance of the rows of two signals ``(…, d, N)`` over their N entries, ``(…, d, d)``."""
    # A row's mean need be taken from one factor only: the other's then meets a sum of zero. Both lose fewer digits.
    centred = [signal - signal.mean(-1, keepdim=True) for signal in (left, right)]
    return centred[0] @ centred[1].transpose(-1, -2) / left.shape[-1]


def singular_power(matrices: Tensor, start: Tensor, power: float, iterations: int, count: int) -> Tensor:
    """Raise the largest ``count`` singular values to a power and divide the others by the last one's σ^(1-power).

    Args:
        matrices: ``(…, d, d)``.
        start: Where the power iteration for a right singular vector begins, ``(d,)``.
        power: Of the singular values.
        iterations: Power iterations for a singular value.
        count: How many of them.
    """
    rest, raised = matrices, torch.zeros_like(matrices)
    for _ in range(count):
        right = start[:, None]
        for _ in range(iterations):
            left = F.normalize(rest @ right, dim=-2)
            right = F.normalize(rest.transpose(-1, -2) @ left, dim=-2)
        value = left.transpose(-1, -2) @ rest @ right
        part = left @ right.transpose(-1, -2)
        shrink = value.clamp_min(SMALL) ** (power - 1)
        raised = raised + value * shrink * part
        rest = rest - value * part
    return raised + shrink * rest

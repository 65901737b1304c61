"""How much of a label's embedding is left at which time: variance-preserving noise, from all noise to almost none."""

from __future__ import annotations

import math

import torch
from torch import Tensor

OFFSET = 0.008
"""Of the cosine: without it nothing would be noise at the end, and the signal-to-noise ratio without bound."""
ENDS = -5.0, 2.0
"""Logarithms of the signal-to-noise ratio at times 0 and 1 of :func:`log_linear`.

A block for all times learns little but to copy clean labels where the ratio, whose slope is its weight, ends high."""


def cosine(steps: int) -> Tensor:
    """ᾱ of times 0 to T, ``(T + 1,)``, float64: cos² of an angle that falls evenly from a right one.

    Nichol and Dhariwal, Improved Denoising Diffusion Probabilistic Models, ICML 2021, with time turned around.

    Args:
        steps: T.
    """
    time = torch.arange(steps + 1, dtype=torch.float64) / steps
    kept = ((1 - time + OFFSET) / (1 + OFFSET) * math.pi / 2).cos().square()
    kept[0] = 0.0
    return kept


def log_linear(time: Tensor) -> tuple[Tensor, Tensor]:
    """ᾱ of times from 0 to 1, and how fast the signal-to-noise ratio grows there, both ``(B,)`` as the times.

    The logarithm of the ratio is a straight line between :data:`ENDS`.
    """
    low, high = ENDS
    logarithm = low + (high - low) * time
    return logarithm.sigmoid(), (high - low) * logarithm.exp()


def ratio(kept: Tensor) -> Tensor:
    """The signal-to-noise ratio ᾱ / (1 - ᾱ), of ᾱ ``(T,)`` or of any other shape."""
    return kept / (1 - kept)


def noised(clean: Tensor, kept: Tensor, noise: Tensor) -> Tensor:
    """A draw ``(B, d)`` of N(√ᾱ u, 1 - ᾱ), of u ``(B, d)``, ᾱ a number or ``(B, 1)``, and standard noise ``(B, d)``."""
    return kept.sqrt() * clean + (1 - kept).sqrt() * noise


def transition(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """a, b and c of the closed form q(z_t | z_{t-1}, u) = N(a u + b z_{t-1}, c), of both ᾱ ``(T,)``.

    Args:
        before: ᾱ of time t - 1.
        after: ᾱ of time t, larger.
    """
    step = before / after
    return (
        after.sqrt() * (1 - step) / (1 - before),
        step.sqrt() * (1 - after) / (1 - before),
        (1 - after) * (1 - step) / (1 - before),
    )


def divergence(clean: Tensor, kept: Tensor) -> Tensor:
    """KL(N(√ᾱ u, 1 - ᾱ) ‖ N(0, 1)) of u ``(B, d)``, ``(B,)``."""
    dimension = clean.shape[1]
    return (kept * clean.square().sum(1) - dimension * (kept + (-kept).log1p())) / 2

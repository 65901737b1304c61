"""Kinds of functions on [−1, 1] that a learned function can be a sum of, so many of each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

LEAST = 4
"""Cubic splines that one interval has; no kind has fewer functions."""


def splines(u: Tensor, count: int) -> Tensor:
    """Cubic B-splines over count − 3 intervals, ``(B, C, *S)`` to ``(B, C, count, *S)``; they sum to 1."""
    away = _from_places(u, count).abs()
    return ((2 - away).clamp_min(0) ** 3 - 4 * (1 - away).clamp_min(0) ** 3) / 6


def chebyshev(u: Tensor, count: int) -> Tensor:
    """Chebyshev polynomials T₀ to T_{count − 1}, ``(B, C, *S)`` to ``(B, C, count, *S)``."""
    terms = [torch.ones_like(u), u]
    while len(terms) < count:
        terms.append(2 * u * terms[-1] - terms[-2])
    return torch.stack(terms[:count], 2)


def wavelets(u: Tensor, count: int) -> Tensor:
    """Mexican hats (1 − t²) exp(−t² / 2), ``(B, C, *S)`` to ``(B, C, count, *S)``; 1.5 places wide."""
    t = _from_places(u, count) / 1.5
    return (1 - t.square()) * (-t.square() / 2).exp()


def radial(u: Tensor, count: int) -> Tensor:
    """Gaussians exp(−t² / 2), ``(B, C, *S)`` to ``(B, C, count, *S)``; a place wide."""
    return (-_from_places(u, count).square() / 2).exp()


BASES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "spline": splines,
    "chebyshev": chebyshev,
    "wavelet": wavelets,
    "radial": radial,
}


def _from_places(u: Tensor, count: int) -> Tensor:
    """How far values ``(B, C, *S)`` are from evenly spaced places, in these, ``(B, C, count, *S)``.

    The first and the last lie outside of [−1, 1], which splines need and the others are the better for at its ends.
    """
    places = torch.arange(count, dtype=u.dtype, device=u.device) - 1
    return (u.unsqueeze(2) + 1) * ((count - 3) / 2) - places.view(-1, *(1,) * (u.dim() - 2))

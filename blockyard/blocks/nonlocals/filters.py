"""Filters: polynomials of an operator, applied to a signal.

The unified view of the paper: every nonlocal block is ``Y = X + norm(F(A, Z))`` with a polynomial filter

    F(A, Z) = Σ_k B_k(A) Z Θ_k,   k = 0 … K,

where B_k is the Chebyshev polynomial T_k or the power A^k, and the blocks differ in A, K, and which Θ_k are tied.
(For the normalised Laplacian L = I − A the rescaled operator is L̃ = L − I = −A, and T_k(−A) = (−1)^k T_k(A): the
sign goes into Θ_k.) An affinity is computed once and can serve several filters in a row, a *stage*.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.half_precision import ranged
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.operators import Operator

Basis = Literal["chebyshev", "power"]
Tying = Literal["free", "nonlocal", "laplacian"]


def polynomials(operator: Operator, z: Tensor, order: int, basis: Basis) -> list[Tensor]:
    """Return [B_0(A) Z, …, B_K(A) Z] with K applications of A.

    Args:
        operator: A, square unless ``order`` is 1 and only the last term is used.
        z: Signal, ``(B, c, N)``.
        order: K.
        basis: ``chebyshev``, T_k = 2 A T_{k−1} − T_{k−2}, or ``power``, A^k.
    """
    terms = [z]
    for k in range(1, order + 1):
        term = operator.apply(terms[-1])
        if basis == "chebyshev" and k > 1:
            term = 2 * term - terms[-2]
        terms.append(term)
    return terms


class PolynomialFilter(nn.Module):
    """``norm(F(A, Z))``, ``(B, C, *S)``, with Z = X W_g: the part of a nonlocal block that follows the affinity.

    Args:
        channels: Channels C of the map.
        value: Projection of the map to the signal Z.
        inner: Channels c of the signal.
        order: K.
        basis: Basis of the polynomial.
        tying: ``free``; ``nonlocal``, Θ_0 = 0; or ``laplacian``, Θ_0 = −Θ_1, that is −L Z Θ_1. The last two are
            for order 1.
    """

    def __init__(
        self,
        channels: int,
        value: Projection,
        inner: int,
        *,
        order: int = 1,
        basis: Basis = "chebyshev",
        tying: Tying = "free",
    ) -> None:
        super().__init__()
        if order < 1 or (tying != "free" and order != 1):
            raise ValueError(f"order must be at least 1, and 1 unless the coefficients are free; got {order}")
        self.value = value
        self.order = order
        self.basis: Basis = basis
        self.tying: Tying = tying
        terms = order + 1 if tying == "free" else 1
        self.out = nn.Conv1d(terms * inner, channels, 1, bias=False)  # [Θ_0 … Θ_K] side by side
        self.norm = zero_batch_norm(channels)

    def forward(self, operator: Operator, x: Tensor) -> Tensor:
        """Filter a map.

        Args:
            operator: A over the N positions of the map.
            x: The map, ``(B, C, *S)``.

        Returns:
            The increment, ``(B, C, *S)``.
        """
        z = self.value(x)
        if self.tying == "free":
            signal = torch.cat(polynomials(operator, z, self.order, self.basis), 1)
        elif self.tying == "nonlocal":
            signal = operator.apply(z)
        else:
            signal = operator.apply(z) - z
        mixed = ranged(self.out, signal, terms=signal.shape[1])
        return self.norm(mixed).to(x.dtype).reshape(x.shape)

    def transfer(self) -> Tensor:
        """What the filter does to the channels at order k, ``(K + 1, C, C)``, with the norm of evaluation.

        An eigenvector of A to the eigenvalue λ, times channels v, becomes itself times Σ_k B_k(λ) transfer[k] v. Biases
        add the same to every position and are no part of it.
        """
        assert isinstance(self.value.conv, nn.Conv1d)
        assert self.norm.running_var is not None
        scale = self.norm.weight * (self.norm.running_var + self.norm.eps).rsqrt()
        terms = self.out.weight[:, :, 0].unflatten(1, (-1, self.value.conv.out_channels))
        transfer = torch.einsum("o,oks,sc->koc", scale, terms, self.value.conv.weight[:, :, 0])
        if self.tying == "free":
            return transfer
        first = torch.zeros_like(transfer) if self.tying == "nonlocal" else -transfer
        return torch.cat([first, transfer])


class GraphFilterBlock(GraphBlock):
    """X ← X + filter(A, X) for every filter in turn, with one A, computed from the block's input.

    A subclass sets both modules in its ``__init__``.

    Args:
        channels: Channels C of the feature map.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        steps: Number of filters.

    Raises:
        ValueError: As :class:`Block`, and if ``steps`` is less than 1.
    """

    affinity: nn.Module
    filters: nn.ModuleList

    @abstractmethod
    def __init__(self, channels: int, spatial_dims: int = 2, steps: int = 1) -> None:
        super().__init__(channels, spatial_dims)
        if steps < 1:
            raise ValueError(f"{type(self).__name__}: steps must be at least 1, got {steps}")

    def operator(self, x: Tensor) -> Operator:
        """The affinity A of a map ``(B, C, *S)``, ``(B, N, M)``, that all filters share."""
        operator: Operator = self.affinity(x)
        return operator

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        operator = self.operator(x)
        for graph_filter in self.filters:
            x = x + graph_filter(operator, x)
        return x


def zero_batch_norm(channels: int) -> nn.BatchNorm1d:
    """Return a batch norm over ``(B, C, N)`` with weight zero, so that a residual branch starts as nothing."""
    norm = nn.BatchNorm1d(channels)
    nn.init.zeros_(norm.weight)
    return norm

"""A polynomial of all features, of every order at once, that is linear in each of them."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.poolings.base import Pooling

TOGETHER = 4
"""Features whose factors are multiplied first: fewer and larger products, the same result."""


class ResidualTensorTrain(Pooling):
    """z = h₀ (I + x₁ A₁)(I + x₂ A₂)…(I + x_C A_C), x the mean over positions: h_k = h_{k−1} + x_k h_{k−1} A_k (ResTT).

    Expanded, it is h₀ + Σ x_i h₀ A_i + Σ_{i<j} x_i x_j h₀ A_i A_j + …: with the identity in every core, interactions of
    all orders are there, each at most linear in each feature. A plain tensor train has the last one alone.

    The entries of A_k start with variance 1 / (r C), so that the mean square of a number of z starts at
    Π (1 + x_k² / C), which is between 1 and e however many features there are, if their mean square is 1 or less.

    Args:
        channels: Channels C of the feature map.
        rank: r, the length of h and z; a classifier behind it tells classes apart by so many numbers.
        bound: ``tanh`` keeps features within ±1, so that products of all of them neither overflow nor leave the range
            that the start is made for; ``none`` takes them as they are.

    Raises:
        ValueError: If ``rank`` is not positive.
    """

    paper: ClassVar[str] = (
        "Chen et al., Residual Tensor Train: A Quantum-inspired Approach for Learning Multiple Multilinear "
        "Correlations, TAI 2022"
    )

    def __init__(self, channels: int, rank: int = 16, bound: Literal["tanh", "none"] = "tanh") -> None:
        super().__init__(channels, rank)
        if rank < 1:
            raise ValueError(f"ResidualTensorTrain: rank must be at least 1, got {rank}")
        self.bound = bound
        self.start = nn.Parameter(torch.ones(rank))
        self.cores = nn.Parameter(torch.randn(channels, rank, rank) * (rank * channels) ** -0.5)

    def pool(self, signal: Tensor) -> Tensor:
        """Pool ``(B, C, N)`` to ``(B, r)``."""
        with torch.autocast(signal.device.type, enabled=False):
            wide = signal.float() if signal.itemsize < 4 else signal
            features = wide.mean(2).tanh() if self.bound == "tanh" else wide.mean(2)
            train = contracted(features, self.cores.to(features.dtype), self.start.to(features.dtype))
            return train.to(signal.dtype)


def contracted(features: Tensor, cores: Tensor, start: Tensor) -> Tensor:
    """h₀ Π_k (I + x_k A_k) from left to right, of features ``(B, C)``, cores ``(C, r, r)``, h₀ ``(r,)``; ``(B, r)``.

    The factors of a few neighbouring features are multiplied first: their product is a sum of products of cores, one
    for each set of these features, which all samples share, and so one matrix product of samples by sets. What is left
    one after another are a quarter as many steps.
    """
    missing = -len(cores) % TOGETHER
    features = F.pad(features, (0, missing)).unflatten(1, (-1, TOGETHER)).transpose(0, 1)
    cores = F.pad(cores, (0, 0, 0, 0, 0, missing)).unflatten(0, (-1, TOGETHER))
    rank = cores.shape[3]
    of_cores = torch.eye(rank, dtype=cores.dtype, device=cores.device).expand(len(cores), 1, -1, -1)
    of_features = torch.ones_like(features[:, :, :1])
    for k in range(TOGETHER):
        of_cores = torch.cat([of_cores, of_cores @ cores[:, k, None]], 1)
        of_features = torch.cat([of_features, of_features * features[:, :, k, None]], 2)
    matrices = (of_features @ of_cores.flatten(2)).unflatten(2, (rank, rank))
    rows = start.expand(features.shape[1], 1, -1)
    for matrix in matrices.unbind():
        rows = rows @ matrix
    return rows.squeeze(1)

"""Hypergraphs: positions gather in a few edges, each of which may join any number of them."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.blocks.base import divide
from blockyard.blocks.half_precision import ranged, ranged_layer
from blockyard.blocks.nonlocals.affinities import Projection
from blockyard.blocks.nonlocals.filters import zero_batch_norm
from blockyard.blocks.nonlocals.graph_block import GraphBlock
from blockyard.blocks.nonlocals.operators import LowRank, at_least_float32, full_precision_product


class AdaptiveHypergraph(GraphBlock):
    """Y = X + BN(σ(W_v A σ(W_e D⁻¹ Aᵀ X))): M edges, chosen by the input, gather positions and give back to them.

    A, (N, M), says how much each position takes part in each edge: the softmax over edges of the similarity of its
    projection to the edges' prototypes, so its rows sum to one. The prototypes are learned, moved by a linear map of
    the map's mean and maximum over positions. O(N M C), so no matrix of positions. σ is SiLU.

    Without W and σ, A D⁻¹ Aᵀ is a graph filter like others here: symmetric, row-stochastic, of rank at most M;
    ``operator`` gives it. Here edges are divided by D, the sums of A's columns, as Feng et al., Hypergraph Neural
    Networks, AAAI 2019, do: with one edge, all positions get the mean of the map, whatever its size. Similarities are
    averaged over heads before the softmax, so heads act as one, of the temperature √(heads · C).

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        edges: Edges M.
        heads: Parts of the channels in which similarities are taken and divided by the root of their size.

    Raises:
        ValueError: If there is no edge, or ``heads`` does not divide ``channels``.
    """

    paper: ClassVar[str] = (
        "Lei et al., YOLOv13: Real-Time Object Detection with Hypergraph-Enhanced Adaptive Visual Perception, "
        "arXiv:2506.17733, 2025"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, edges: int = 8, heads: int = 4) -> None:
        super().__init__(channels, spatial_dims)
        divide(channels, heads, "AdaptiveHypergraph", "heads")
        if edges < 1:
            raise ValueError(f"AdaptiveHypergraph: edges must be at least 1, got {edges}")
        self.scale = (heads * channels) ** -0.5
        self.vertices = Projection(channels, channels, spatial_dims)
        self.prototypes = nn.Parameter(torch.empty(edges, channels))
        nn.init.xavier_uniform_(self.prototypes)
        self.context = nn.Linear(2 * channels, edges * channels)
        self.edge = nn.Conv1d(channels, channels, 1)
        self.vertex = nn.Conv1d(channels, channels, 1)
        self.norm = zero_batch_norm(channels)
        if edges == 1:  # a softmax over one edge is one
            self.without_effect = ("vertices.*", "prototypes", "context.*")

    def participation(self, x: Tensor) -> Tensor:
        """How much each position of ``(B, C, *S)`` takes part in each edge, ``(B, M, N)``; sums over edges are one."""
        return self._logarithm(x).exp()

    def _logarithm(self, x: Tensor) -> Tensor:
        flat = x.flatten(2)
        context = torch.cat([flat.mean(2), flat.amax(2)], 1)
        moved = ranged_layer(self.context, context).unflatten(1, self.prototypes.shape)
        prototypes = at_least_float32(moved) + at_least_float32(self.prototypes)
        similarity = full_precision_product(prototypes.transpose(1, 2), self.vertices(x) * self.scale)
        return similarity.log_softmax(1)

    def operator(self, x: Tensor) -> LowRank:
        """A D⁻¹ Aᵀ of a map ``(B, C, *S)``, ``(B, N, N)``: what the block does to signals, but for W and σ."""
        logarithm = self._logarithm(x)
        return LowRank(logarithm.exp(), logarithm.softmax(2))  # A D⁻¹, also of edges that all but no position is in

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        factors, signal = self.operator(x), x.flatten(2)
        # Each edge's mean, a position's share of it: neither is larger than what it is made of.
        gather, scatter = factors.gather.to(signal.dtype), factors.scatter.to(signal.dtype)
        means = ranged(lambda z, g: torch.bmm(z, g.transpose(1, 2)), signal, gather, terms=signal.shape[2])
        edges = F.silu(ranged_layer(self.edge, means))
        shares = ranged(torch.bmm, edges, scatter.to(edges.dtype), terms=scatter.shape[1])
        increment = self.norm(F.silu(ranged_layer(self.vertex, shares)))
        return x + increment.to(x.dtype).reshape(x.shape)

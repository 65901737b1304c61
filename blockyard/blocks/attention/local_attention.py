"""Attention of blocks to their neighbourhood (HaloNet)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.attention.relative_attention import relative_logits, scores_of
from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.convolutions.convolution import geometry_of
from blockyard.blocks.nonlocals.affinities import Projection


class HaloAttention(Block):
    """Y_i = Σ_j softmax_j(q_i · k_j / √d + q_i · r_{j−i}) v_j over the window of the block that i lies in.

    Blocks of b positions along each axis do not overlap; the window of a block is the block and h positions around
    it, so each position sees (b + 2 h)^rank others. Maps whose sides b does not divide are padded at their ends.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        heads: Attention heads of C / heads channels each.
        block_size: b.
        halo_size: h.
        outside: What a window sees beyond the map: ``zeros``, keys and values of zero that take their share of the
            softmax, as in HaloNet, or ``nothing``, where they are left out.
        scale_positions: Whether 1/√d also scales the term of the positions.
        host: The convolution that is replaced; ``plug`` hands it over. At its stride only every second, … position
            of a block has a query: the paper's attention downsampling.

    Raises:
        ValueError: If ``heads`` does not divide ``channels``, ``block_size`` is not positive or ``halo_size`` negative,
            the host changes the channels, or its stride does not divide ``block_size``.
    """

    identity_at_init = False
    paper: ClassVar[str] = (
        "Vaswani et al., Scaling Local Self-Attention for Parameter Efficient Visual Backbones, CVPR 2021"
    )
    slot: ClassVar[Slot] = "convolution"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        heads: int = 8,
        block_size: int = 8,
        halo_size: int = 3,
        outside: Literal["zeros", "nothing"] = "zeros",
        scale_positions: bool = False,
        host: nn.Module | None = None,
    ) -> None:
        super().__init__(channels, spatial_dims)
        width = divide(channels, heads, "HaloAttention", "heads")
        if block_size < 1 or halo_size < 0:
            raise ValueError(
                f"HaloAttention: block_size must be positive and halo_size not negative, got {block_size}, {halo_size}"
            )
        self.stride = (1,) * spatial_dims
        if host is not None:
            geometry = geometry_of(host, channels, spatial_dims, "HaloAttention")
            if geometry.out_channels != channels:
                raise ValueError(f"HaloAttention keeps its {channels} channels; it cannot replace {host}")
            self.stride = geometry.stride
        if any(block_size % step for step in self.stride):
            raise ValueError(f"HaloAttention: stride {self.stride} does not divide block_size={block_size}")
        self.query = Projection(channels, channels, spatial_dims)
        self.key_value = Projection(channels, 2 * channels, spatial_dims)
        # one vector for each offset between two positions of a window
        window = block_size + 2 * halo_size
        self.tables = nn.ParameterList(torch.randn(2 * window - 1, width) * width**-0.5 for _ in range(spatial_dims))
        if window == 1:
            self.without_effect = ("query.*", "tables.*")  # a softmax over one position is one
        self.heads = heads
        self.block_size = block_size
        self.halo_size = halo_size
        self.outside = outside
        self.scale_positions = scale_positions

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape, divided by the host's stride."""
        rank, size, b = self.spatial_dims, x.shape[2:], self.block_size
        missing = [-n % b for n in size]
        query = _windows(_pad(self.query(x).unflatten(2, size), missing), b, b)
        asking: tuple[Any, ...] = (..., *(slice(None, None, step) for step in self.stride))
        query = query[asking]
        query = query.unflatten(1, (self.heads, -1)).movedim(2, -1)  # (B, h, *n, *b, d)
        scale = query.shape[-1] ** -0.5
        keys_values = self._halo(self.key_value(x).unflatten(2, size), missing)
        key, value = keys_values.unflatten(1, (2, self.heads, -1)).movedim(3, -1).unbind(1)  # (B, h, *n, *w, d)

        places = query * scale if self.scale_positions else query
        along_axes = relative_logits(places, self._vectors())
        query, key, value = (t.flatten(2 + rank, 1 + 2 * rank) for t in (query, key, value))
        scores = scores_of(query * scale, key)
        scores = scores + along_axes.flatten(2 + 2 * rank).flatten(2 + rank, 1 + 2 * rank)
        if self.outside == "nothing":
            inside = self._halo(torch.ones_like(x[:1, :1]), missing).flatten(2 + rank)
            scores = scores.masked_fill(inside.unsqueeze(-2) == 0, -torch.inf)
        result = (scores.softmax(-1).to(value.dtype) @ value).unflatten(2 + rank, [b // s for s in self.stride])
        surplus = [-(m // s) for m, s in zip(missing, self.stride, strict=True)]
        return _pad(_join(result.movedim(-1, 2).flatten(1, 2), rank), surplus)

    def _halo(self, x: Tensor, missing: list[int]) -> Tensor:
        """The windows of a map: ``(B, C, *S)`` to ``(B, C, *n, *w)``, n blocks along each axis."""
        window = self.block_size + 2 * self.halo_size
        return _windows(_pad(x, missing, self.halo_size), window, self.block_size)

    def _vectors(self) -> list[Tensor]:
        """For each axis the vectors of the offsets from the block's queries to the window, ``(b / stride, w, d)``."""
        b, h = self.block_size, self.halo_size
        place = torch.arange(b + 2 * h, device=self.tables[0].device)
        offsets = place[None] - place[:b, None] + b + 2 * h - 1
        return [table[offsets[::step]] for table, step in zip(self.tables, self.stride, strict=True)]


def _pad(x: Tensor, missing: list[int], halo: int = 0) -> Tensor:
    """Zeros around a map: ``halo`` on every side, and what is missing to whole blocks at the ends; negative crops."""
    return F.pad(x, [n for m in reversed(missing) for n in (halo, halo + m)])


def _windows(x: Tensor, side: int, step: int) -> Tensor:
    """Windows of a map, ``(B, C, *S)`` to ``(B, C, *n, *w)``."""
    for axis in range(2, x.dim()):
        x = x.unfold(axis, side, step)
    return x


def _join(blocks: Tensor, rank: int) -> Tensor:
    """Blocks side by side again: ``(B, C, *n, *b)`` to ``(B, C, *S)``."""
    order = [axis + offset for axis in range(2, 2 + rank) for offset in (0, rank)]
    interleaved = blocks.permute(0, 1, *order)
    for axis in range(2, 2 + rank):
        interleaved = interleaved.flatten(axis, axis + 1)
    return interleaved

"""Multi-head self-attention within slices of a map."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from blockyard.blocks.mixers.self_attention import SelfAttention, attend


class SlicedAttention(SelfAttention):
    """Y = W [softmax(q kᵀ / √d) v]_heads within each of g slices of the map's N positions, of ⌈N / g⌉ neighbours each.

    Positions count along the last axis first. One slice is :class:`SelfAttention`; the last slice is shorter where g
    does not divide N. Shuffled, slices are of positions that lie anywhere: in training those that chance draws at every
    step, in evaluation always the same of a map of N.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        slices: g.
        shuffled: Whether positions are shuffled before, and put back behind.
        head_width: d; C / d is the number of heads.
        qkv_bias: Whether queries, keys and values have a bias.
        bias: Whether the projection at the end has one.

    Raises:
        ValueError: If ``slices`` is not positive, or ``head_width`` does not divide ``channels``.
    """

    paper: ClassVar[str] = "Shen et al., Sliced Recursive Transformer, ECCV 2022"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        slices: int = 4,
        shuffled: bool = False,
        head_width: int = 32,
        qkv_bias: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__(channels, spatial_dims, head_width=head_width, qkv_bias=qkv_bias, bias=bias)
        if slices < 1:
            raise ValueError(f"SlicedAttention: slices must be at least 1, got {slices}")
        self.slices, self.shuffled = slices, shuffled

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.within(x, self.slices, self.shuffled)

    def within(self, x: Tensor, slices: int, shuffled: bool) -> Tensor:
        """Attention with the same weights within other slices, ``(B, C, *S)`` to the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        count = tokens.shape[1]
        back = torch.arange(count, device=x.device)  # indices: a slice would be another case where g divides N
        if shuffled and slices > 1:
            order = torch.randperm(count, device=x.device) if self.training else shuffle(count, x.device)
            tokens, back = tokens[:, order], order.argsort()
        mixed = self._attended(self.qkv(tokens), slices)[:, back]
        return self.project(mixed).transpose(1, 2).unflatten(2, x.shape[2:])

    def _attended(self, qkv: Tensor, slices: int) -> Tensor:
        """What each position gathers within its slice, ``(B, N, 3 C)`` to ``(B, g ⌈N / g⌉, C)``."""
        count = qkv.shape[1]
        length = (count + slices - 1) // slices
        # slices are as many heads more: (B, N, 3 C) to three of (B, heads slices, length, d)
        parts = F.pad(qkv, (0, 0, 0, slices * length - count)).unflatten(1, (slices, length))
        parts = parts.unflatten(3, (3, self.heads, -1)).permute(3, 0, 4, 1, 2, 5).flatten(2, 3)
        there = (torch.arange(slices * length, device=qkv.device) < count).view(slices, 1, length)
        there = there | ~there[:, :, :1]  # a slice of nothing attends to that, for a softmax needs something
        query, key, value = parts.unbind(0)
        mixed = attend(query, key, value, None if slices == 1 else there.repeat(self.heads, 1, 1)[None])
        return mixed.unflatten(1, (self.heads, slices)).permute(0, 2, 3, 1, 4).flatten(3).flatten(1, 2)


def shuffle(count: int, device: torch.device) -> Tensor:
    """An order of numbers from 0 that looks drawn and is always the same, ``(count,)``, on every device."""
    number = torch.arange(count, device=device)
    for _ in range(2):  # the multiplicative hash of 32 bits, which takes no two numbers to one
        number = ((number >> 16) ^ number) * 0x45D9F3B & 0xFFFFFFFF
    return ((number >> 16) ^ number).argsort()

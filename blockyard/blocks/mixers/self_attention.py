"""Multi-head self-attention over all positions, without positions of their own."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.half_precision import computes_in_float16

_REACH = 1e5
"""Scores up to which float32 tells apart what differs by a hundredth."""


class SelfAttention(Block):
    """Y = W [softmax(q kᵀ / √d) v]_heads over all positions of the map, d channels each head.

    The matrix of positions is never built where torch's fused attention runs.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        head_width: d; C / d is the number of heads.
        qkv_bias: Whether queries, keys and values have a bias.
        bias: Whether the projection at the end has one.

    Raises:
        ValueError: If ``head_width`` does not divide ``channels``.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Vaswani et al., Attention Is All You Need, NeurIPS 2017"

    def __init__(
        self, channels: int, spatial_dims: int = 2, *, head_width: int = 32, qkv_bias: bool = False, bias: bool = False
    ) -> None:
        super().__init__(channels, spatial_dims)
        width = min(head_width, channels)
        self.heads = divide(channels, width, "SelfAttention", "head_width")
        self.qkv = nn.Linear(channels, 3 * channels, bias=qkv_bias)
        self.project = nn.Linear(channels, channels, bias=bias)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        query, key, value = self.qkv(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = attend(query, key, value).transpose(1, 2).flatten(2)
        return self.project(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
    """Attention, ``(B, h, N, d)`` each, by torch's fused kernel; where the mask is false, a key is not there.

    For the gradient the one for CPUs computes the weights once more, from sums as large as the scores. Of 10⁸, which
    features in float16 can make, float32 keeps no units, and gradients come out 10¹² times too large: there the weights
    are kept.
    """
    if not (query.device.type == "cpu" and computes_in_float16(query)):
        return F.scaled_dot_product_attention(query, key, value, mask)
    with torch.autocast("cpu", enabled=False):
        scores = query.float() @ key.float().transpose(2, 3) * query.shape[3] ** -0.5
        weights = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(3)
        return (weights @ value.float()).to(query.dtype)


def shortened(query: Tensor, key: Tensor) -> Tensor:
    """Queries ``(B, h, N, d)`` whose scores with keys ``(B, h, M, d)`` stay within ±10⁵ on a CPU.

    There the fused kernel's gradient computes the weights once more, from sums as large as the scores. Squares of
    features are: of 10⁸, float32 keeps no units, and gradients come out without bound. Shortened, a row keeps its
    maximum alone but where scores differ by a part in 10⁴.
    """
    if query.device.type != "cpu" or query.dtype == torch.float64:
        return query
    lengths = [x.detach().norm(dim=3, keepdim=True, dtype=torch.float32) for x in (query, key)]
    reach = lengths[0] * lengths[1].amax(2, keepdim=True) * query.shape[3] ** -0.5
    return (query * (_REACH / reach.clamp_min(_REACH))).to(query.dtype)

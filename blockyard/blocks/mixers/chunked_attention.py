"""Causal convolutions that lie ever further apart, then attention within chunks: long series in linear time."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.half_precision import ranged_layer
from blockyard.blocks.mixers.self_attention import attend, shortened


class CausalConvolutions(nn.Module):
    """U_{l+1} = U_l + silu(K_l ∗ U_l), K_l of k taps that lie f^l apart and look back alone, each channel by itself.

    Args:
        channels: Channels C.
        layers: How many there are, L.
        kernel_size: Taps k of each.
        dilation: f.

    Raises:
        ValueError: If an option is not positive.
    """

    def __init__(self, channels: int, layers: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        if min(layers, kernel_size, dilation) < 1:
            raise ValueError(
                f"causal convolutions need layers, kernel_size and dilation of at least 1, "
                f"got {layers}, {kernel_size} and {dilation}"
            )
        self.layers = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel_size, dilation=dilation**layer, groups=channels)
            for layer in range(layers)
        )
        self.reach = [(kernel_size - 1) * dilation**layer for layer in range(layers)]

    @property
    def receptive_field(self) -> int:
        """Steps that one output sees, its own included: 1 + (k − 1)(1 + f + … + f^(L−1))."""
        return 1 + sum(self.reach)

    def forward(self, series: Tensor) -> Tensor:
        """Map ``(B, C, N)`` to the same shape."""
        for reach, layer in zip(self.reach, self.layers, strict=True):
            assert isinstance(layer, nn.Conv1d)
            series = series + F.silu(ranged_layer(layer, F.pad(series, (reach, 0))))
        return series


class TCNCA(Block):
    """Y = φ ⊙ silu(W U + P (γ ⊙ O)) + (1 − φ) ⊙ X, O = softmax(q kᵀ / √d) v within each chunk of c positions.

    U is X behind causal convolutions that lie ever further apart (:class:`CausalConvolutions`), which stand where MEGA
    has a recurrence; q, k and the gates φ = σ(W_φ U) and γ = silu(W_γ U) are made of U, v of X. One head, and time and
    memory that grow as the number of positions does. It carries the residual of its own gate. Positions count along the
    last axis first, so that one set of weights serves every rank; it is made for series.

    By default the attention is of all positions of a chunk: an output depends on what is before it, and on the rest of
    its chunk, which is what a whole series that is to be named has to offer. With ``causal`` it depends on nothing that
    comes later.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        chunk: c, positions that attend to each other; the last chunk is shorter where c does not divide N.
        width: d, channels of queries, keys and values; None is C.
        layers: Convolutions one after another.
        kernel_size: Taps of each.
        dilation: How many times as far apart the taps of the next one lie.
        causal: Whether a position attends to those before it alone.

    Raises:
        ValueError: If an option is not positive.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Terzić et al., TCNCA: Temporal Convolution Network with Chunked Attention for Scalable Sequence Processing, "
        "arXiv 2023"
    )

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        chunk: int = 128,
        width: int | None = None,
        layers: int = 5,
        kernel_size: int = 5,
        dilation: int = 2,
        causal: bool = False,
    ) -> None:
        super().__init__(channels, spatial_dims)
        self.width = channels if width is None else width
        if min(chunk, self.width) < 1:
            raise ValueError(f"TCNCA: chunk and width must be at least 1, got {chunk} and {width}")
        self.chunk, self.causal = chunk, causal
        self.convolutions = CausalConvolutions(channels, layers, kernel_size, dilation)
        self.gates = nn.Linear(channels, 2 * self.width + 2 * channels)
        self.value = nn.Linear(channels, self.width)
        # an offset of the keys would add the same to all scores of a query, and a scale is that of the queries
        self.scale = nn.Parameter(torch.ones(self.width))
        self.shift = nn.Parameter(torch.zeros(self.width))
        self.project = nn.Linear(self.width, channels, bias=False)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        series = x.flatten(2)
        tokens, seen = series.transpose(1, 2), self.convolutions(series).transpose(1, 2)
        parts = [self.width, self.width, self.channels, self.channels]
        base, reset, update, new = ranged_layer(self.gates, seen).split(parts, 2)
        key, value = F.silu(base), F.silu(ranged_layer(self.value, tokens))
        gathered = self.within_chunks(key * self.scale + self.shift, key, value)
        new = F.silu(new + ranged_layer(self.project, F.silu(reset) * gathered))
        mixed = tokens + update.sigmoid() * (new - tokens)
        return mixed.transpose(1, 2).unflatten(2, x.shape[2:])

    def within_chunks(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention ``(B, N, d)`` of the positions of each chunk, three of ``(B, N, d)`` given."""
        count, compiling = query.shape[1], torch.compiler.is_compiling()
        # a graph is for any number of positions: one chunk would be another case than several
        length = self.chunk if compiling else min(self.chunk, count)
        chunks = (count + length - 1) // length + compiling
        padded = F.pad(torch.cat([query.to(value.dtype), key, value], 2), (0, 0, 0, chunks * length - count))
        # chunks stand where heads do: three of (B, chunks, length, d)
        query, key, value = padded.unflatten(1, (chunks, length)).chunk(3, 3)
        mask = None
        if self.causal:  # what is padded comes last
            mask = torch.ones(length, length, dtype=torch.bool, device=query.device).tril()
        elif compiling or count % length:
            there = (torch.arange(chunks * length, device=query.device) < count).view(1, chunks, 1, length)
            mask = there | ~there[..., :1]  # a chunk of nothing attends to that, for a softmax needs something
        gathered = attend(shortened(query, key), key, value, mask).flatten(1, 2)
        # indices: a slice would be another case where c divides N
        return gathered[:, torch.arange(count, device=query.device)] if compiling else gathered[:, :count]

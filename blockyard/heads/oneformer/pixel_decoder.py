"""Maps that know of each other, and one embedding a pixel."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.heads.oneformer.deformable_attention import MultiScaleDeformableAttention, Size, centres

LEVELS = 3
"""Maps that exchange what they see, of the coarsest; finer ones are too large for it."""


class PixelDecoder(nn.Module):
    """Deformable attention among the coarsest maps ``(B, C, h, w)``, then upwards, finer maps added, to pixels.

    Cheng et al., Masked-attention Mask Transformer for Universal Image Segmentation, CVPR 2022, whose decoder OneFormer
    takes over. Of up to three maps, all but the finest exchange what they see; a single one does so with itself.

    Args:
        in_channels: Channels of the maps, finest first.
        channels: Channels C of all that comes out, a multiple of 4 and of ``num_heads``.
        depth: Layers of attention.
        num_heads: Heads of the attention.
        dropout: Share of numbers dropped behind attention and within and behind the feed-forward.
    """

    def __init__(
        self, in_channels: Sequence[int], channels: int, depth: int = 6, num_heads: int = 8, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.levels = min(LEVELS, max(1, len(in_channels) - 1))
        coarse, fine = in_channels[-self.levels :][::-1], in_channels[: -self.levels][::-1]
        self.entries = nn.ModuleList(_conv(width, channels, 1, bias=True) for width in coarse)
        self.level_embed = nn.Parameter(torch.randn(self.levels, channels))
        self.layers = nn.ModuleList(EncoderLayer(channels, self.levels, num_heads, dropout) for _ in range(depth))
        self.lateral = nn.ModuleList(_conv(width, channels, 1) for width in fine)
        self.smooth = nn.ModuleList(nn.Sequential(*_conv(channels, channels, 3), nn.ReLU()) for _ in fine)
        self.embed = nn.Conv2d(channels, channels, 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """The attended maps ``(B, C, h, w)``, coarsest first, and the embeddings ``(B, C, H, W)`` at the finest size.

        Args:
            maps: ``(B, ·, h, w)`` each, finest first.
        """
        coarse, fine = maps[-self.levels :][::-1], maps[: -self.levels][::-1]
        entered = [entry(x) for entry, x in zip(self.entries, coarse, strict=True)]
        sizes: list[Size] = [(x.shape[2], x.shape[3]) for x in entered]
        tokens = torch.cat([x.flatten(2).transpose(1, 2) for x in entered], 1)
        placed = [sine_positions(x) + level[:, None, None] for x, level in zip(entered, self.level_embed, strict=True)]
        positions = torch.cat([x.flatten(1).T for x in placed])
        places = centres(sizes, tokens)
        for layer in self.layers:
            tokens = layer(tokens, positions, places, sizes)
        parts = tokens.split([h * w for h, w in sizes], 1)
        attended = [part.transpose(1, 2).unflatten(2, size) for part, size in zip(parts, sizes, strict=True)]
        finest = attended[-1]
        for lateral, smooth, x in zip(self.lateral, self.smooth, fine, strict=True):
            finest = smooth(lateral(x) + F.interpolate(finest, x.shape[2:], mode="bilinear"))
        return attended, self.embed(finest)


class EncoderLayer(nn.Module):
    """Deformable attention of every position ``(B, N, C)``, then a feed-forward, a norm behind each.

    Args:
        channels: Channels C.
        levels: Maps that are attended to.
        num_heads: Heads.
        dropout: Share of numbers dropped.
    """

    def __init__(self, channels: int, levels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(channels, levels, num_heads)
        self.norm1 = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, 4, dropout)
        self.norm2 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor, places: Tensor, sizes: Sequence[Size]) -> Tensor:
        """Tokens ``(B, N, C)`` of tokens, their sine positions ``(N, C)``, places ``(N, 2)`` and the maps' sizes."""
        seen = self.attention(tokens + positions, places, tokens, sizes)
        tokens = self.norm1(tokens + self.dropout(seen))
        return self.norm2(tokens + self.dropout(self.feedforward(tokens)))


def feedforward(channels: int, ratio: int, dropout: float = 0.0) -> nn.Sequential:
    """Two linear layers, the hidden one ``ratio`` times as wide."""
    hidden = ratio * channels
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, channels))


def sine_positions(x: Tensor) -> Tensor:
    """Sines and cosines ``(C, h, w)`` of row, in the first half of the channels, and column of a map ``(B, C, h, w)``.

    Rows and columns go from 0 to 2π, whatever the size; wavelengths from 2π to 10,000 · 2π.
    """
    channels, height, width = x.shape[1:]
    dtype = torch.promote_types(x.dtype, torch.float32)
    pairs = torch.arange(channels // 4, device=x.device, dtype=dtype)
    frequencies = 10_000 ** (-4 * pairs / channels)

    def waves(length: int) -> Tensor:
        along = torch.arange(1, length + 1, device=x.device, dtype=dtype) / (length + 1e-6) * (2 * math.pi)
        angles = frequencies[:, None] * along
        return torch.stack([angles.sin(), angles.cos()], 1).flatten(0, 1)  # (C/2, length)

    rows, columns = waves(height)[:, :, None], waves(width)[:, None]
    return torch.cat([rows.expand(-1, -1, width), columns.expand(-1, height, -1)]).to(x.dtype)


def _conv(width: int, channels: int, kernel_size: int, bias: bool = False) -> nn.Sequential:
    conv = nn.Conv2d(width, channels, kernel_size, padding=kernel_size // 2, bias=bias)
    groups = math.gcd(32, channels // 2)  # of two channels at least: a norm of one alone would take its scale away
    return nn.Sequential(conv, nn.GroupNorm(groups, channels))

"""Queries that look for masks: begun by the task, refined layer by layer within the mask that they have so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.heads.oneformer.pixel_decoder import feedforward, sine_positions


class Prediction(NamedTuple):
    """What the queries say after a layer.

    Attributes:
        classes: Logits ``(B, Q, K + 1)`` of the classes and, last, of nothing.
        masks: Logits ``(B, Q, h, w)`` of the pixels.
    """

    classes: Tensor
    masks: Tensor


class TransformerDecoder(nn.Module):
    """From attended maps ``(B, C, h, w)``, pixel embeddings and a task token to classes and masks.

    Jain et al., OneFormer: One Transformer to Rule Universal Image Segmentation, CVPR 2023: Q - 1 queries begin as the
    task token, look at the pixel embeddings through a small transformer, and go with the token itself, the last query,
    through the masked attention of Mask2Former (Cheng et al., CVPR 2022). Each layer attends to one of the maps, in
    turn, and a query only to where its mask so far is more likely than not; if that is nowhere, to everything.

    Args:
        channels: Channels C.
        num_classes: Classes K.
        levels: Maps to attend to.
        num_queries: Queries Q.
        depth: Layers of masked attention.
        query_depth: Layers of the small transformer.
        num_heads: Heads of every attention.
        dropout: Share of numbers dropped in the small transformer; the layers of masked attention drop none.
    """

    without_effect: ClassVar[tuple[str, ...]] = ("query_entry.bias",)  # it is in keys alone, the same in all of them

    def __init__(
        self,
        channels: int,
        num_classes: int,
        levels: int,
        num_queries: int = 150,
        depth: int = 9,
        query_depth: int = 2,
        num_heads: int = 8,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query_embed = nn.Parameter(torch.randn(num_queries, channels))
        self.level_embed = nn.Parameter(torch.randn(levels, channels))
        self.query_layers = nn.ModuleList(QueryLayer(channels, num_heads, dropout) for _ in range(query_depth))
        self.query_norm = nn.LayerNorm(channels)
        self.query_entry = nn.Conv2d(channels, channels, 1)
        self.layers = nn.ModuleList(MaskedLayer(channels, num_heads) for _ in range(depth))
        self.norm = nn.LayerNorm(channels)
        self.classify = nn.Linear(channels, num_classes + 1)
        self.mask_embed = mlp(channels, channels, 3)
        for parameter in (*self.query_layers.parameters(), *self.layers.parameters(), self.query_entry.weight):
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, maps: Sequence[Tensor], pixels: Tensor, task: Tensor) -> tuple[list[Prediction], Tensor]:
        """What is predicted before the first and behind every layer, and the queries ``(B, Q, C)`` before the first.

        Args:
            maps: ``(B, C, ·, ·)`` each, coarsest first.
            pixels: Embeddings ``(B, C, h, w)``.
            task: Tokens ``(B, C)`` of the pictures' tasks, or one, ``(1, C)``, for all.
        """
        sources = [x.flatten(2).transpose(1, 2) + level for x, level in zip(maps, self.level_embed, strict=True)]
        positions = [sine_positions(x).flatten(1).T for x in maps]
        first = queries = self.begin(pixels, task)
        predictions = [self.predict(queries, pixels)]
        for index, layer in enumerate(self.layers):
            level = index % len(maps)
            blocked = self.blocked(predictions[-1].masks, maps[level].shape[2:])
            queries = layer(queries, self.query_embed, sources[level], positions[level], blocked)
            predictions.append(self.predict(queries, pixels))
        return predictions, first

    def begin(self, pixels: Tensor, task: Tensor) -> Tensor:
        """The first queries ``(B, Q, C)`` of pixel embeddings ``(B, C, h, w)`` and the tasks' tokens ``(B, C)``."""
        token = self.norm(task)[:, None].expand(pixels.shape[0], -1, -1)
        embed = self.query_embed[:-1]
        queries = token.expand(-1, len(embed), -1)
        # the published networks learnt so: what is found is where, and what is there only says where to look
        where = sine_positions(pixels).flatten(1).T.expand(pixels.shape[0], -1, -1)
        what = self.query_entry(pixels).flatten(2).transpose(1, 2)
        for layer in self.query_layers:
            queries = layer(queries, embed, where + what, where)
        return torch.cat([self.query_norm(queries), token], 1)

    def predict(self, queries: Tensor, pixels: Tensor) -> Prediction:
        """Classes and masks of queries ``(B, Q, C)`` over pixel embeddings ``(B, C, h, w)``."""
        normed = self.norm(queries)
        masks = torch.einsum("bqc,bchw->bqhw", self.mask_embed(normed), pixels)
        return Prediction(self.classify(normed), masks)

    def blocked(self, masks: Tensor, size: Sequence[int]) -> Tensor:
        """Where the queries may not look, ``(B · heads, Q, h · w)``, by logits ``(B, Q, ·, ·)``."""
        resized = F.interpolate(masks.detach(), list(size), mode="bilinear")
        outside = (resized < 0).flatten(2)
        outside = outside & ~outside.all(-1, keepdim=True)
        return outside.repeat_interleave(self.num_heads, 0)


class MaskedLayer(nn.Module):
    """Queries ``(B, Q, C)``: attention to a map within masks, among themselves, a feed-forward, a norm behind each.

    Args:
        channels: Channels C.
        num_heads: Heads.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.cross = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.norm1 = nn.LayerNorm(channels)
        self.among = nn.MultiheadAttention(channels, num_heads, batch_first=True)
        self.norm2 = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, 8)
        self.norm3 = nn.LayerNorm(channels)

    def forward(self, queries: Tensor, embed: Tensor, source: Tensor, position: Tensor, blocked: Tensor) -> Tensor:
        """Queries ``(B, Q, C)`` of queries.

        Args:
            queries: ``(B, Q, C)``.
            embed: What tells the queries apart, ``(Q, C)``.
            source: Positions of a map, ``(B, N, C)``.
            position: Where these are, ``(N, C)``.
            blocked: Where a query may not look, ``(B · heads, Q, N)``.
        """
        seen = attend(self.cross, queries + embed, source + position, source, blocked)
        queries = self.norm1(queries + seen)
        placed = queries + embed
        queries = self.norm2(queries + attend(self.among, placed, placed, queries))
        return self.norm3(queries + self.feedforward(queries))


class QueryLayer(nn.Module):
    """Queries ``(B, Q, C)``: attention among them, to a map, a feed-forward, a norm behind each, as in DETR's decoder.

    Args:
        channels: Channels C.
        num_heads: Heads.
        dropout: Share of numbers dropped.
    """

    def __init__(self, channels: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.among = nn.MultiheadAttention(channels, num_heads, dropout, batch_first=True)
        self.norm1 = nn.LayerNorm(channels)
        self.cross = nn.MultiheadAttention(channels, num_heads, dropout, batch_first=True)
        self.norm2 = nn.LayerNorm(channels)
        self.feedforward = feedforward(channels, 8, dropout)
        self.norm3 = nn.LayerNorm(channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, queries: Tensor, embed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Queries ``(B, Q, C)`` of queries, ``embed (Q, C)``, and a map's keys and values, ``(B, N, C)``."""
        placed = queries + embed
        queries = self.norm1(queries + self.dropout(attend(self.among, placed, placed, queries)))
        queries = self.norm2(queries + self.dropout(attend(self.cross, queries + embed, keys, values)))
        return self.norm3(queries + self.dropout(self.feedforward(queries)))


def attend(
    attention: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, blocked: Tensor | None = None
) -> Tensor:
    """What the queries ``(B, Q, C)`` find in ``value (B, N, C)`` by ``key``, without the weights."""
    found: Tensor = attention(query, key, value, attn_mask=blocked, need_weights=False)[0]
    return found


def mlp(width: int, channels: int, depth: int) -> nn.Sequential:
    """Linear layers with ReLU between them, all ``channels`` wide, of vectors of length ``width``."""
    layers: list[nn.Module] = []
    for index in range(depth):
        layers += [nn.Linear(width if index == 0 else channels, channels), nn.ReLU()]
    for layer in layers[::2]:
        assert isinstance(layer, nn.Linear)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers[:-1])

"""What a picture shows, in words that the queries of the picture are to be like; of use in training alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.blocks.base import Mergeable
from blockyard.heads.oneformer.transformer_decoder import mlp

LENGTH = 77
"""Tokens of a text, filled up with zeros; what is longer is cut."""
START, END = 257, 258
VOCABULARY = 259
"""Tokens: filling, the 256 values of a byte plus one, start, and end, which is the largest."""
FILLING = {"semantic": "a semantic photo", "instance": "an instance photo", "panoptic": "a panoptic photo"}
"""The text of a query that no mask is left for, by task."""
TEMPERATURE = 0.07
"""What similarities are divided by at first."""
LARGEST_SCALE = 100.0
"""What they are multiplied with at most."""


def tokenise(text: str) -> Tensor:
    """The bytes of a text in UTF-8 as tokens ``(LENGTH,)``, between start and end."""
    tokens = [START, *(byte + 1 for byte in text.encode()[: LENGTH - 2]), END]
    return F.pad(torch.tensor(tokens), (0, LENGTH - len(tokens)))


class TextEncoder(nn.Module):
    """A transformer over tokens ``(n, LENGTH)``, whose vector at a text's end is the text's.

    Args:
        channels: Channels C of what comes out.
        width: Channels of the transformer, with a head for every 64.
        depth: Layers.
        vocabulary: Tokens that there are; the largest of a text is its end.
    """

    def __init__(self, channels: int, width: int, depth: int = 6, vocabulary: int = VOCABULARY) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.position_embed = nn.Parameter(0.01 * torch.randn(LENGTH, width))
        self.layers = nn.ModuleList(TextLayer(width, depth) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.project = mlp(width, channels, 2)
        nn.init.normal_(self.embed.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Vectors ``(n, C)`` of texts ``(n, LENGTH)``."""
        x = self.embed(tokens) + self.position_embed
        for layer in self.layers:
            x = layer(x)
        return self.project(self.norm(x[torch.arange(len(x), device=x.device), tokens.argmax(1)]))


class TextLayer(nn.Module):
    """Norm and attention, norm and feed-forward, each beside the identity, ``(n, LENGTH, width)``.

    Args:
        width: Channels.
        depth: Layers that there are, by which CLIP's initial values of a layer, taken here, become smaller.
    """

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, max(1, width // 64), batch_first=True)
        self.norm2 = nn.LayerNorm(width)
        self.enter, self.leave = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        nn.init.normal_(self.attention.in_proj_weight, std=width**-0.5)
        nn.init.normal_(self.enter.weight, std=(2 * width) ** -0.5)
        for layer in (self.attention.out_proj, self.leave):
            nn.init.normal_(layer.weight, std=(2 * width * depth) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Vectors ``(n, LENGTH, width)`` of vectors."""
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed, need_weights=False)[0]
        hidden = self.enter(self.norm2(x))
        return x + self.leave(hidden * torch.sigmoid(1.702 * hidden))  # CLIP's approximation of GELU


class QueryTexts(Mergeable):
    """Compares queries ``(B, Q, C)`` with texts of what pictures show: "a photo with a dog" for a mask of a dog.

    Jain et al., OneFormer: One Transformer to Rule Universal Image Segmentation, CVPR 2023. Masks that are left over
    have no text; texts that no mask is left for tell the task; the last ``contexts`` are learnt vectors. Here a text
    is read by its bytes, where the paper has the vocabulary of CLIP; nothing is pretrained in either.

    Args:
        channels: Channels C of the queries.
        num_classes: Classes K, called by their numbers until :meth:`name_classes`.
        num_queries: Queries Q.
        depth: Layers of the text encoder, which is C wide.
        contexts: Learnt vectors among the texts.

    Raises:
        ValueError: If no query is left for a text.
    """

    phrases: Tensor

    def __init__(self, channels: int, num_classes: int, num_queries: int, depth: int = 6, contexts: int = 16) -> None:
        super().__init__()
        if not 0 <= contexts < num_queries:
            raise ValueError(f"contexts={contexts} must be less than the {num_queries} queries")
        self.num_classes, self.texts = num_classes, num_queries - contexts
        self.encoder = TextEncoder(channels, channels, depth)
        self.contexts = nn.Parameter(torch.randn(contexts, channels))
        self.scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))
        self.register_buffer("phrases", torch.zeros(0, dtype=torch.long), persistent=False)
        self.name_classes([str(number) for number in range(num_classes)])

    def name_classes(self, names: Sequence[str]) -> None:
        """Write the texts with the K names of the classes."""
        texts = [f"a photo with a {name}" for name in names] + list(FILLING.values())
        self.phrases = torch.stack([tokenise(text) for text in texts]).to(self.scale.device)

    def encode(self, labels: Sequence[Tensor], tasks: Sequence[str]) -> Tensor:
        """The texts ``(B, Q, C)`` of pictures, each distinct one read once.

        Args:
            labels: Classes ``(n,)`` of the masks of each picture.
            tasks: The task of each picture.
        """
        rows = torch.stack([self._rows(each, task) for each, task in zip(labels, tasks, strict=True)])
        distinct, where = rows.unique(return_inverse=True)
        texts = self.encoder(self.phrases[distinct])[where]
        return torch.cat([texts, self.contexts.expand(len(texts), -1, -1)], 1)

    def forward(self, queries: Tensor, labels: Sequence[Tensor], tasks: Sequence[str]) -> Tensor:
        """The contrastive loss, one number, of first queries ``(B, Q, C)``; the rest as :meth:`encode`'s."""
        return contrastive_loss(queries, self.encode(labels, tasks), self.scale.exp().clamp(max=LARGEST_SCALE))

    def merged(self) -> nn.Module:
        """Nothing: predictions don't depend on it."""
        return nn.Identity()

    def _rows(self, labels: Tensor, task: str) -> Tensor:
        """The phrases of a picture's masks, in the order of the classes, and of its task, ``(texts,)``."""
        shown = labels.sort().values[: self.texts]
        return F.pad(shown, (0, self.texts - len(shown)), value=self.num_classes + list(FILLING).index(task))


def contrastive_loss(queries: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """How well the pictures' queries ``(B, Q, C)`` and texts ``(B, Q, C)`` tell each other from those of the others.

    The cross entropy over the cosines, times ``scale``, of all queries of a picture as one vector with those of all
    texts, in both directions; of the batch of one process.
    """
    ours, theirs = (F.normalize(each.flatten(1), dim=1) for each in (queries, texts))
    logits = scale * ours @ theirs.T
    same = torch.arange(len(logits), device=logits.device)
    return F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)

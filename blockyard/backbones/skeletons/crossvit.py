"""Two sizes of patches, each with attention of its own; the class token of each reads the patches of the other.

Chen, Fan, Panda: CrossViT: Cross-Attention Multi-Scale Vision Transformer for Image Classification, ICCV 2021.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.parts import LayerNorm, Pointwise, Style, each
from blockyard.backbones.skeletons.patches import MODES, Patches, Positions
from blockyard.backbones.skeletons.stages import Mixer, initialise, make_stage, sizes_of
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks.base import divide
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.self_attention import SelfAttention, attend

NAMES = ("small", "large")
"""The branches, by what their patches are."""


class Branch(nn.Module):
    """A picture as a class token and its patches, ``(B, in_channels, *S)`` to ``(B, C, 1 + N)`` and their grid.

    The network puts its stages here as well, ``layer1``, ``layer2``….

    Args:
        in_channels: Channels of the picture.
        channels: C.
        patch: Pixels of a patch along each axis.
        scale: How much larger the picture is made before.
        size: S that the positions are learned for.
    """

    def __init__(self, in_channels: int, channels: int, patch: int, scale: float, size: Sequence[int]) -> None:
        super().__init__()
        self.scale = scale
        self.patches = Patches(in_channels, channels, len(size), patch)
        self.positions = Positions(channels, [math.ceil(n / patch) for n in self._scaled(size)], 1)
        self.class_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, channels), std=0.02))

    def forward(self, x: Tensor) -> tuple[Tensor, torch.Size]:
        """Cut up a picture; the second is how many patches there are along each axis."""
        if self.scale != 1:
            x = F.interpolate(x, self._scaled(x.shape[2:]), mode=MODES[x.dim() - 2])
        grid = self.positions(self.patches(x))
        token = (self.class_token + self.positions.tokens()).transpose(1, 2).to(grid.dtype)
        return torch.cat([token.expand(len(x), -1, -1), grid.flatten(2)], 2), grid.shape[2:]

    def _scaled(self, size: Sequence[int]) -> list[int]:
        return [round(n * self.scale) for n in size]


class ClassAttention(nn.Module):
    """y = x₀ + W [softmax(q(z₀) k(z)ᵀ / √d) v(z)]_heads, z = LN(x): the first of ``(B, C, 1 + N)`` reads all.

    Args:
        channels: C.
        heads: Number of heads.
        eps: What the norm adds to a variance.
    """

    def __init__(self, channels: int, heads: int, eps: float) -> None:
        super().__init__()
        divide(channels, heads, "CrossViT", "heads")
        self.heads = heads
        self.norm = LayerNorm(channels, eps)
        self.query, self.key, self.value, self.project = (Pointwise(channels, channels) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens to the new first one, ``(B, C, 1)``."""
        z = self.norm(x)
        parts = (self.query(z[:, :, :1]), self.key(z), self.value(z))
        q, k, v = (part.unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        return x[:, :, :1] + self.project(attend(q, k, v).transpose(2, 3).flatten(1, 2))


class Exchange(nn.Module):
    """The class token of each of two sets of tokens reads the patches of the other; the patches stay.

    Args:
        widths: Channels of both.
        heads: Number of heads.
        eps: What the norms add to a variance.
    """

    def __init__(self, widths: Sequence[int], heads: int, eps: float) -> None:
        super().__init__()
        others = widths[::-1]
        self.there = nn.ModuleList(_projection(*pair, eps) for pair in zip(widths, others, strict=True))
        self.attention = nn.ModuleList(ClassAttention(width, heads, eps) for width in others)
        self.back = nn.ModuleList(_projection(*pair, eps) for pair in zip(others, widths, strict=True))

    def forward(self, tokens: list[Tensor]) -> list[Tensor]:
        """Map two of ``(B, C, 1 + N)`` to the same shapes."""
        found = []
        for own, other, there, read, back in zip(
            tokens, tokens[::-1], self.there, self.attention, self.back, strict=True
        ):
            first = back(read(torch.cat([there(own[:, :, :1]), other[:, :, 1:]], 2)))
            found.append(torch.cat([first, own[:, :, 1:]], 2))
        return found


def _projection(channels: int, out_channels: int, eps: float) -> nn.Sequential:
    return nn.Sequential(LayerNorm(channels, eps), nn.GELU(), Pointwise(channels, out_channels))


class Classifiers(nn.ModuleList):
    """The mean of what classifiers say of a part of the channels each, ``(B, C₁ + C₂)`` to ``(B, K)``."""

    def __init__(self, widths: Sequence[int], num_classes: int, eps: float) -> None:
        super().__init__(nn.Sequential(nn.LayerNorm(width, eps), nn.Linear(width, num_classes)) for width in widths)
        self.widths = list(widths)

    def forward(self, x: Tensor) -> Tensor:
        """Classify."""
        said = [classify(part) for classify, part in zip(self, x.split(self.widths, 1), strict=True)]
        return torch.stack(said).mean(0)


class CrossViT(Backbone):
    """Residual units on small and on large patches side by side, whose class tokens meet behind every few units.

    What passes are tokens, maps ``(B, C, 1 + N)`` of rank 1. The first stages are those of the small patches,
    ``small.layer1``, ``small.layer2``…, then come those of the large ones: what class tokens exchange behind a stage
    leaves its patches as they are. A list is of one value for the small and one for the large patches.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of a stage.
        widths: Channels.
        count: How often class tokens meet.
        heads: Heads of the attention by which they do.
        mixers: What mixes tokens.
        patches: Pixels of a patch along each axis.
        scales: How much larger the picture is made before it is cut up.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        style: What else the units are like.
        input_size: Positions of the input along each axis that the positions are learned for.
        dropout: Probability of dropout before the classifiers.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or timm's or the published ones of a CrossViT whose patches are cut by one convolution.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a list is not of two values, a number is not positive, the heads do not divide the channels, or
            the weights are not the network's.
    """

    first_convolutions = ("small.patches.project", "large.patches.project")
    classifiers = ("fc.0.1", "fc.1.1")

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (1, 4),
        widths: Sequence[int] = (96, 192),
        count: int = 3,
        heads: int = 3,
        mixers: list[Mixer] | Mixer = SelfAttention,
        patches: Sequence[int] = (12, 16),
        scales: Sequence[float] = (1.0, 14 / 15),
        spatial_dims: int = 2,
        style: Style | None = None,
        input_size: int | list[int] = 240,
        dropout: float | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check({"depths": depths, "widths": widths, "patches": patches, "scales": scales}, count, spatial_dims)
        self.rank, self.count, style = spatial_dims, count, style or Style()
        size, rates = sizes_of(input_size, spatial_dims, "CrossViT"), style.rates(count * max(depths))
        given = each("mixers", mixers, 2)
        stages = []
        for i, name in enumerate(NAMES):
            branch = Branch(in_channels, widths[i], patches[i], scales[i], size)
            for number in range(count):
                drops = iter(rates[number * max(depths) :])
                stage = make_stage(depths[i], widths[i], 1, (given[i], None), style, drops, None)
                branch.add_module(f"layer{number + 1}", stage)
                stages.append(Stage(f"{name}.layer{number + 1}", widths[i], round(patches[i] / scales[i])))
            self.add_module(name, branch)
        self.stages = tuple(stages)
        self.exchanges = nn.ModuleList(Exchange(widths, heads, style.norm_eps) for _ in range(count))
        self.dropout = None if dropout is None else self.made_dropout(dropout)
        self.fc = Classifiers(widths, max(num_classes, 1), style.norm_eps)
        initialise(self)
        # no map passes the last exchange
        self.head_parts = (*self.head_parts, f"exchanges.{count - 1}")
        if not num_classes:
            self.trunk()
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The grids behind the stages without class tokens, ``(B, stage.channels, *⌈S / stage.stride⌉)`` each."""
        return self._passed(x)[0]

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees: both class tokens as one, ``(B, 1, C₁ + C₂)``."""
        return torch.cat([tokens[:, :, 0] for tokens in self._passed(x)[1]], 1)[:, None]

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what :meth:`last_map` gave."""
        return super().classify(last.transpose(1, 2))

    def _passed(self, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """The grids behind the stages, and the tokens that come out at last."""
        branches = [self.get_submodule(name) for name in NAMES]
        tokens, grids = map(list, zip(*(branch(x) for branch in branches), strict=True))
        maps: list[list[Tensor]] = [[], []]
        for number, exchange in enumerate(self.exchanges, 1):
            for i, branch in enumerate(branches):
                tokens[i] = branch.get_submodule(f"layer{number}")(tokens[i])
                maps[i].append(tokens[i][:, :, 1:].unflatten(2, grids[i]))
            tokens = exchange(tokens)
        return [*maps[0], *maps[1]], tokens

    def renamed(self, file: State) -> State:
        """The tensors of timm's file by the names that they have here."""
        return own_names(file, self.state_dict())


def _check(pairs: dict[str, Sequence[float]], count: int, rank: int) -> None:
    if rank not in CONVOLUTIONS:
        raise ValueError(f"CrossViT: spatial_dims must be one of 1, 2, 3, got {rank}")
    if count < 1:
        raise ValueError(f"CrossViT: count must be at least 1, got {count}")
    for name, pair in pairs.items():
        if len(pair) != 2 or min(pair) <= 0:
            raise ValueError(f"CrossViT: {name} are two positive numbers, got {list(pair)}")

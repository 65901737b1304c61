"""LSNet: depthwise convolutions and such that a larger one steers, in turn; attention in the last stage.

Wang, Chen, Lin, Han, Ding: LSNet: See Large, Focus Small, CVPR 2025.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.backbones.skeletons.stages import Mixer, sizes_of
from blockyard.blocks import LSConvolution, SqueezeExcitation
from blockyard.blocks.base import divide
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS, LINEAR
from blockyard.blocks.stages.selective_depth import VectorNorm
from blockyard.poolings import Pooling


class ConvNorm(nn.Sequential):
    """A convolution without bias and a batch norm, ``(B, C_in, *S)`` to ``(B, C_out, *⌈S / stride⌉)``."""

    def __init__(
        self, in_channels: int, channels: int, spatial_dims: int, kernel: int = 1, stride: int = 1, **options: Any
    ) -> None:
        conv = CONVOLUTIONS[spatial_dims](in_channels, channels, kernel, stride, kernel // 2, bias=False, **options)
        super().__init__(conv, BATCH_NORMS[spatial_dims](channels))


class Depthwise(nn.Module):
    """x + BN(K₃ ∗ x) + BN(K₁ ∗ x), depthwise, then a squeeze-and-excitation; ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        self.conv3 = ConvNorm(channels, channels, spatial_dims, 3, groups=channels)
        self.conv1 = ConvNorm(channels, channels, spatial_dims, groups=channels)
        self.gate = SqueezeExcitation(channels, spatial_dims, reduction=4)

    def forward(self, x: Tensor) -> Tensor:
        """Mix neighbours, channel by channel, ``(B, C, *S)``."""
        return self.gate(x + self.conv3(x) + self.conv1(x))


class Mixed(nn.Module):
    """x + BN(mixer x), ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int, spatial_dims: int, mixer: Mixer) -> None:
        super().__init__()
        self.mixer = mixer(channels, spatial_dims)
        self.norm = BATCH_NORMS[spatial_dims](channels)

    def forward(self, x: Tensor) -> Tensor:
        """Mix the neighbours in ``(B, C, *S)``."""
        return x + self.norm(self.mixer(x))


class Attention(nn.Module):
    """x + attention over all positions, narrow queries and keys, and a learned score for the distance along each axis.

    Args:
        channels: C of ``(B, C, *S)``.
        spatial_dims: Rank of S.
        heads: Number of heads.
        size: Positions along each axis that the scores are learned for; they are interpolated for others.
        width: Channels of a head's queries and keys.
    """

    def __init__(self, channels: int, spatial_dims: int, heads: int, size: Sequence[int], width: int = 16) -> None:
        super().__init__()
        divide(channels, heads, "LSNet", "heads")
        self.widths = (heads * width, heads * width, channels)
        self.heads = heads
        self.qkv = ConvNorm(channels, sum(self.widths), spatial_dims)
        self.local = ConvNorm(self.widths[0], self.widths[0], spatial_dims, 3, groups=self.widths[0])
        last = ConvNorm(channels, channels, spatial_dims)
        self.project = nn.Sequential(nn.ReLU(), last)
        nn.init.zeros_(last.get_parameter("1.weight"))
        self.distance = nn.Parameter(torch.zeros(heads, *size))

    def forward(self, x: Tensor) -> Tensor:
        """Mix all positions of ``(B, C, *S)``."""
        query, key, value = self.qkv(x).split(self.widths, 1)
        parts = (self.local(query), key, value)
        q, k, v = (part.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, self._scores(x.shape[2:]).to(q.dtype))
        return x + self.project(mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:]))

    def _scores(self, size: torch.Size) -> Tensor:
        """What each pair of positions gets, ``(h, N, N)``."""
        table: Tensor = self.distance
        if table.shape[1:] != size:
            table = F.interpolate(table[None], size, mode=LINEAR[len(size)])[0]
        place = torch.stack(torch.meshgrid(*(torch.arange(n, device=table.device) for n in size), indexing="ij"))
        apart = (place.flatten(1)[:, :, None] - place.flatten(1)[:, None]).abs()
        return table[(slice(None), *apart)]


class MLP(nn.Module):
    """x + BN(W' relu(BN(W x))), W to twice the channels, ``(B, C, *S)`` to the same shape."""

    def __init__(self, channels: int, spatial_dims: int) -> None:
        super().__init__()
        last = ConvNorm(2 * channels, channels, spatial_dims)
        self.layers = nn.Sequential(ConvNorm(channels, 2 * channels, spatial_dims), nn.ReLU(), last)
        nn.init.zeros_(last.get_parameter("1.weight"))

    def forward(self, x: Tensor) -> Tensor:
        """Mix the channels of each position of ``(B, C, *S)``."""
        return x + self.layers(x)


class HeadNorm(VectorNorm):
    """Batch norm of what is pooled, ``(B, C)`` to the same shape."""

    @property
    def out_features(self) -> int:
        """C."""
        return self.num_features


class LSNet(Pyramid):
    """A light pyramid: in every stage depthwise convolutions and LS convolutions in turn, in the last one attention.

    Its first stage is at an eighth of the resolution, and may be empty, as LSNet-T's is.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each stage.
        widths: Channels of each stage, multiples of 8.
        heads: Heads of the last stage's attention.
        mixer: What mixes neighbours in every second unit of the other stages.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the channels of the last map.
        input_size: Positions of the input along each axis that the attention's distances are learned for.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If depths and widths do not fit each other, a width is no multiple of 8, the heads do not divide the
            last one, or the weights are not the network's.
    """

    first_convolutions = ("stem.0.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (0, 2, 8, 10),
        widths: Sequence[int] = (64, 128, 256, 384),
        heads: int = 4,
        mixer: Mixer = LSConvolution,
        spatial_dims: int = 2,
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        input_size: int | list[int] = 224,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(depths, widths, spatial_dims)
        self.rank = rank = spatial_dims
        stem = [in_channels, widths[0] // 4, widths[0] // 2, widths[0]]
        steps = [ConvNorm(before, after, rank, 3, 2) for before, after in pairwise(stem)]
        self.stem = nn.Sequential(steps[0], nn.ReLU(), steps[1], nn.ReLU(), steps[2])
        strides = [8 * 2**i for i in range(len(depths))]
        size = [math.ceil(n / strides[-1]) for n in sizes_of(input_size, rank, "LSNet")]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i:
                before = widths[i - 1]
                fewer = ConvNorm(before, before, rank, 3, 2, groups=before)
                self.add_module(f"downsample{i + 1}", nn.Sequential(fewer, ConvNorm(before, width, rank)))
            units = []
            for number in range(depth):
                if number % 2 == 0:
                    part: nn.Module = Depthwise(width, rank)
                else:
                    last = i + 1 == len(depths)
                    part = Attention(width, rank, heads, size) if last else Mixed(width, rank, mixer)
                units.append(nn.Sequential(OrderedDict(mixer=part, mlp=MLP(width, rank))))
            self.add_module(f"layer{i + 1}", nn.Sequential(*units))
        self.stages = tuple(Stage(f"layer{i + 1}", widths[i], strides[i]) for i in range(len(depths)))
        self.make_head(widths[-1], pooling, dropout, HeadNorm)
        self.load_weights(weights, strict)


def _check(depths: Sequence[int], widths: Sequence[int], spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"LSNet: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if len(depths) != len(widths) or not depths or min(depths) < 0:
        raise ValueError(f"LSNet: depths and widths have one number a stage, got {list(depths)} and {list(widths)}")
    if min(widths) < 8 or any(width % 8 for width in widths):
        raise ValueError(f"LSNet: widths must be multiples of 8, got {list(widths)}")

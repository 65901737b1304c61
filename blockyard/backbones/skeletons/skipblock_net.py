"""SkipblockNet: a MobileNetV3 whose later units are handed the first convolution's map.

Abrahamyan, Ziatchin, Chen, Deligiannis: Bias Loss for Mobile Neural Networks, ICCV 2021. Without skip blocks it is
MobileNetV3-Large: Howard et al., Searching for MobileNetV3, ICCV 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.blocks.channels.squeeze_excitation import rescale
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.poolings import Pooling

UNITS: tuple[tuple[tuple[int, int, int, bool], ...], ...] = (
    ((3, 16, 16, False),),
    ((3, 64, 24, False), (3, 72, 24, False)),
    ((5, 72, 40, True), (5, 120, 40, True), (5, 120, 40, True)),
    (
        *((3, 240, 80, False), (3, 200, 80, False), (3, 184, 80, False), (3, 184, 80, False)),
        *((3, 480, 112, True), (3, 672, 112, True)),
    ),
    ((5, 672, 160, True), (5, 960, 160, True), (5, 960, 160, True)),
)
"""Of each unit of each stage of MobileNetV3-Large: taps, hidden channels, channels, whether it has a gate."""


class Gate(nn.Module):
    """Y = x · h(W₂ relu(W₁ x̄ + b₁) + b₂), ``(B, C, *S)`` to the same shape.

    x̄ is the mean over positions and h the hard sigmoid; W₁ leaves a quarter of the channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze = nn.Linear(channels, divisible(channels / 4))
        self.excite = nn.Linear(self.squeeze.out_features, channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return rescale(x, F.hardsigmoid(self.excite(self.squeeze(x.flatten(2).mean(2)).relu())))


class Unit(nn.Module):
    """P g(a(K ∗ a(E x))), ``(B, C_in, *S)`` to ``(B, C_out, *⌈S / stride⌉)``, and x itself if it has that shape.

    E widens, K is depthwise, g is a gate, P narrows; behind each convolution stands a norm, a is the activation.

    Args:
        in_channels: C_in.
        hidden: Channels between; where they are C_in there is no E.
        channels: C_out.
        rank: Rank of S.
        act: Makes a.
        kernel: Taps of K along each axis, odd.
        stride: Of K.
        gated: Whether there is g.
        residual: Whether x itself is added.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        channels: int,
        rank: int,
        act: type[nn.Module] = nn.ReLU,
        kernel: int = 3,
        stride: int = 1,
        gated: bool = False,
        residual: bool = True,
    ) -> None:
        super().__init__()
        self.in_channels, self.hidden = in_channels, hidden
        self.expand = nn.Sequential()
        if hidden != in_channels:
            self.expand = convolution(in_channels, hidden, rank, act)
        self.depthwise = convolution(hidden, hidden, rank, act, kernel, stride, hidden)
        self.gate = Gate(hidden) if gated else nn.Identity()
        self.project = convolution(hidden, channels, rank)
        self.residual = residual and stride == 1 and in_channels == channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S)`` to ``(B, C_out, *⌈S / stride⌉)``."""
        y = self.project(self.gate(self.depthwise(self.expand(x))))
        return x + y if self.residual else y


class SkipblockNet(Pyramid):
    """MobileNetV3-Large with skip blocks: a unit of the first convolution's map, averaged to the size of a later one.

    What a skip block gives is added to what the unit that it leads to reads. That unit begins a stage; those before it
    at its resolution stand in ``downsample2``, ``downsample3``….

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        width: Factor of all channels, which become multiples of 8.
        skip_to: Units that skip blocks lead to, counted from 1 over all stages; one a stage at most.
        skip_hidden: Channels between, of each skip block.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the channels of the last map.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no such unit or rank, two skip blocks lead to one stage, a number is not positive, or
            the weights are not the network's.
    """

    first_convolutions = ("stem.0",)
    head_parts = ("widen", *Pyramid.head_parts)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        width: float = 1.0,
        skip_to: Sequence[int] = (6, 10),
        skip_hidden: Sequence[int] = (408, 192),
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        spatial_dims: int = 2,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        entries = dict(zip(_stages(skip_to, skip_hidden, width, spatial_dims), skip_to, strict=True))
        self.rank, stem = spatial_dims, divisible(16 * width)
        self.stem = convolution(in_channels, stem, spatial_dims, nn.Hardswish, 3, 2)
        channels, number, stages, read = stem, 1, [], list[int]()
        for i, settings in enumerate(UNITS, 1):
            units, act = list[Unit](), nn.ReLU if i < 4 else nn.Hardswish
            read += [channels, *(divisible(setting[2] * width) for setting in settings[:-1])]
            for kernel, hidden, out, gated in settings:
                wide, before, channels = divisible(hidden * width), channels, divisible(out * width)
                stride = 2 if i > 1 and not units else 1
                units.append(Unit(before, wide, channels, spatial_dims, act, kernel, stride, gated))
            first = entries.get(i, number + (i > 1)) - number
            if i > 1:
                self.add_module(f"downsample{i}", nn.Sequential(*units[:first]))
            self.add_module(f"layer{i}", nn.Sequential(*units[first:]))
            stages.append(Stage(f"layer{i}", channels, 2**i))
            number += len(units)
        self.stages = tuple(stages)
        self.skips = nn.ModuleDict(
            {
                str(stage): Unit(stem, divisible(hidden * width), read[unit - 1], spatial_dims, residual=False)
                for (stage, unit), hidden in zip(entries.items(), skip_hidden, strict=True)
            }
        )
        last = divisible(960 * width)
        self.widen: nn.Module = convolution(channels, last, spatial_dims, nn.Hardswish)
        self.make_head(last, pooling, dropout, Hidden)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        first = x = self.stem(x)
        average: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[x.dim() - 3]
        maps: list[Tensor] = []
        for number, stage in enumerate(self.stages, 1):
            if number > 1:
                x = self.get_submodule(f"downsample{number}")(x)
            if str(number) in self.skips:
                x = x + self.skips[str(number)](average(first, x.shape[2:]))
            x = self.get_submodule(stage.path)(x)
            maps.append(x)
        return maps

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage, widened."""
        return self.widen(super().last_map(x))


class Hidden(nn.Sequential):
    """The layer before the classifier, ``(B, C)`` to ``(B, out_features)``."""

    def __init__(self, channels: int, out_features: int = 1280, bias: bool = True) -> None:
        super().__init__(nn.Linear(channels, out_features, bias), nn.Hardswish())
        self.out_features = out_features


def divisible(channels: float) -> int:
    """The multiple of 8 that is nearest and above nine tenths, at least 8: MobileNets' rule."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 * (nearest < 0.9 * channels)


def convolution(
    in_channels: int,
    channels: int,
    rank: int,
    act: type[nn.Module] | None = None,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
) -> nn.Sequential:
    """A convolution that keeps the shape but for its stride, a batch norm, and an activation if there is one."""
    conv = CONVOLUTIONS[rank](in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, BATCH_NORMS[rank](channels), *([act()] if act else []))


def _stages(skip_to: Sequence[int], skip_hidden: Sequence[int], width: float, rank: int) -> list[int]:
    """The stages, counted from 1, of the units that skip blocks lead to."""
    ends = list(accumulate(len(stage) for stage in UNITS))
    if rank not in CONVOLUTIONS:
        raise ValueError(f"SkipblockNet: spatial_dims must be one of 1, 2, 3, got {rank}")
    if width <= 0 or len(skip_hidden) != len(skip_to) or min(skip_hidden, default=1) < 1:
        raise ValueError(
            f"SkipblockNet: width and skip_hidden must be positive, one hidden for each of skip_to, {list(skip_to)}, "
            f"got {width} and {list(skip_hidden)}"
        )
    if not all(1 <= unit <= ends[-1] for unit in skip_to):
        raise ValueError(f"SkipblockNet: skip_to must be 1 to {ends[-1]}, the units, got {list(skip_to)}")
    stages = [1 + sum(unit > end for end in ends) for unit in skip_to]
    if len(set(stages)) != len(stages):
        raise ValueError(f"SkipblockNet: skip_to must lead to one unit a stage at most, got {list(skip_to)}")
    return stages

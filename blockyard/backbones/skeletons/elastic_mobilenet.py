"""ElasticMobileNet: a MobileNetV3 each of whose units has a kernel and an expansion of its own.

Cai, Gan, Wang, Zhang, Han: Once-for-All, Train One Network and Specialize it for Efficient Deployment, ICLR 2020. The
units are those of Howard et al., Searching for MobileNetV3, ICCV 2019.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.skeletons.skipblock_net import Hidden, Unit, convolution, divisible
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.poolings import Pooling

Number = TypeVar("Number", int, float)
_KEPT = {
    *("in_channels", "widths", "strides", "gated", "stem", "stem_stride", "rectified", "last", "hidden", "dropout"),
    *("pooling", "spatial_dims"),
}
"""Options that its sub-networks have too."""


class ElasticMobileNet(Backbone):
    """A stem, stages of inverted residual units, a wider map and a hidden layer before the classifier.

    Each stage has its number of units, each unit its kernel and how many times more channels it has inside, so that
    what :class:`~blockyard.objectives.ProgressiveShrinking` trains within one network, and a search finds there, is
    another network of this class. The defaults are the largest network of the paper: units of 7 taps and expansion 6,
    four a stage. In the stem stands a unit of 3 taps that does not widen, and never changes.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        widths: Channels of each stage.
        depths: Units of each stage, or one number for all.
        kernels: Taps along each axis of each unit, over all stages, or one number for all; odd.
        expansions: How many times the channels that it reads each unit has inside, over all stages, or one number for
            all; channels become a multiple of 8.
        strides: Of the first unit of each stage.
        gated: Of which stages the units have a gate.
        stem: Channels of the stem.
        stem_stride: Stride of the stem.
        rectified: How many stages, counted from the first, have ReLUs, as has the stem's unit; the others have hard
            swishes.
        last: Channels of the map that is pooled; None takes that of the last stage.
        hidden: Channels of the layer before the classifier; None leaves it away.
        pooling: In place of the mean over positions; called with the channels of the last map.
        dropout: Probability of dropout before the classifier.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no such rank, numbers are not positive, kernels are not odd, lists have other lengths
            than stages or units, ``rectified`` is no number of stages, or the weights are not the network's.
    """

    first_convolutions = ("stem.0.0",)
    head_parts = ("widen", *Backbone.head_parts)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        widths: Sequence[int] = (24, 40, 80, 112, 160),
        depths: int | Sequence[int] = 4,
        kernels: int | Sequence[int] = 7,
        expansions: float | Sequence[float] = 6.0,
        strides: Sequence[int] = (2, 2, 2, 1, 2),
        gated: Sequence[bool] = (False, True, False, True, True),
        stem: int = 16,
        stem_stride: int = 2,
        rectified: int = 2,
        last: int | None = 960,
        hidden: int | None = 1280,
        pooling: Callable[[int], Pooling] | None = None,
        dropout: float | None = None,
        spatial_dims: int = 2,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        kept = {name: value for name, value in locals().items() if name in _KEPT}
        super().__init__(num_classes, in_channels)
        _check(spatial_dims, (*widths, *strides, stem, stem_stride, last, hidden), len(widths), rectified)
        self.rank, self._kept = spatial_dims, kept
        self.depths = each("depths", depths, len(widths))
        self.kernels = each("kernels", kernels, sum(self.depths))
        self.expansions = each("expansions", expansions, sum(self.depths))
        _check_stages(self.kernels, each("strides", strides, len(widths)), gated)
        first = convolution(in_channels, stem, spatial_dims, nn.Hardswish, 3, stem_stride)
        self.stem = nn.Sequential(first, Unit(stem, stem, stem, spatial_dims))
        settings, channels = iter(zip(self.kernels, self.expansions, strict=True)), stem
        for i, (width, depth) in enumerate(zip(widths, self.depths, strict=True)):
            units, act = list[Unit](), nn.ReLU if i < rectified else nn.Hardswish
            for kernel, expansion in (next(settings) for _ in range(depth)):
                stride = 1 if units else strides[i]
                wide = divisible(channels * expansion)
                units.append(Unit(channels, wide, width, spatial_dims, act, kernel, stride, gated[i]))
                channels = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*units))
        steps = [stem_stride * math.prod(strides[: i + 1]) for i in range(len(widths))]
        self.stages = tuple(Stage(f"layer{i + 1}", widths[i], step) for i, step in enumerate(steps))
        self.widen: nn.Module = nn.Identity()
        if last is not None:
            self.widen = convolution(channels, last, spatial_dims, nn.Hardswish)
        neck = None if hidden is None else partial(Hidden, out_features=hidden, bias=False)
        self.make_head(last or channels, pooling, dropout, neck)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        x, maps = self.stem(x), []
        for stage in self.stages:
            maps.append(x := self.get_submodule(stage.path)(x))
        return maps

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage, widened."""
        return self.widen(super().last_map(x))

    def units(self) -> Iterator[tuple[str, Unit]]:
        """The units of all stages in their order, by their paths."""
        for stage in self.stages:
            for number, unit in enumerate(self.get_submodule(stage.path).children()):
                assert isinstance(unit, Unit)
                yield f"{stage.path}.{number}", unit

    def like(self, depths: Sequence[int], kernels: Sequence[int], expansions: Sequence[float]) -> ElasticMobileNet:
        """A fresh network with all options of this one but these."""
        own: dict[str, Any] = {"depths": depths, "kernels": kernels, "expansions": expansions}
        return type(self)(self.num_classes, **own, **self._kept)


def each(option: str, value: Number | Sequence[Number], count: int) -> tuple[Number, ...]:
    """One positive number for each of so many.

    Raises:
        ValueError: If they are not positive, or not so many.
    """
    found = tuple(value) if isinstance(value, Sequence) else (value,) * count
    if len(found) != count or min(found, default=0) <= 0:
        raise ValueError(f"ElasticMobileNet: {option} must be {count} positive numbers, or one, got {value}")
    return found


def _check_stages(kernels: Sequence[int], strides: Sequence[int], gated: Sequence[bool]) -> None:
    if any(kernel % 2 == 0 for kernel in kernels):
        raise ValueError(f"ElasticMobileNet: kernels must be odd, got {list(kernels)}")
    if len(gated) != len(strides):
        raise ValueError(f"ElasticMobileNet: gated must say of {len(strides)} stages, got {list(gated)}")


def _check(spatial_dims: int, sizes: Sequence[int | None], stages: int, rectified: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"ElasticMobileNet: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if not stages:
        raise ValueError("ElasticMobileNet: widths must be of one stage at least, got []")
    most = max(2, stages)  # the default, of a network of one stage as well
    if not 0 <= rectified <= most:
        raise ValueError(f"ElasticMobileNet: rectified must be 0 to {most}, got {rectified}")
    if any(size is not None and size < 1 for size in sizes):
        raise ValueError("ElasticMobileNet: widths, strides, stem, last and hidden must be positive")

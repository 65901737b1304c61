"""The maps that a detector looks for objects in: a backbone's, a neck's, and coarser ones."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models.detection.ssdlite import _extra_block, _normal_init
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from blockyard.backbones import Stage
from blockyard.heads.neck import neck_stages

NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.03)
"""The norm of SSDLite."""
EXTRA = (512, 256, 256, 128)
"""Channels of SSDLite's maps beyond the backbone's."""


@dataclass(frozen=True)
class Level:
    """One of the maps: its channels, and input pixels per pixel of it."""

    channels: int
    stride: int


class Pyramid(nn.Module):
    """Maps ``(B, C, H, W)`` by name, ``"0"``, ``"1"``, …, finest first, as torchvision's detectors take them.

    Args:
        body: Gives the maps of its ``stages``.
        finest: Smallest stride of a map that is looked at; of several with one stride, the last is.
        neck: Called with the channels of these maps; makes what stands behind them, if anything.
        beyond: Called with the channels of the last map; makes what adds coarser ones, each of half the size, and says
            of how many channels these are.

    Attributes:
        levels: The maps.
        out_channels: Channels of all of them, if that is one number; 0 otherwise.

    Raises:
        ValueError: If the body has no such map, or maps that grow finer.
    """

    def __init__(
        self,
        body: nn.Module,
        finest: int,
        neck: Callable[[list[int]], nn.Module] | None,
        beyond: Callable[[int], tuple[nn.Module, Sequence[int]]],
    ) -> None:
        super().__init__()
        stages: Any = getattr(body, "stages", ())
        every = (*getattr(body, "before_stages", ()), *stages)
        if not stages:
            raise ValueError(f"{type(body).__name__} has no stages, so there are no maps to find objects in")
        strides = [stage.stride for stage in every]
        if strides != sorted(strides):  # those that no coarser map is made of would be trained for nothing
            told = ", ".join(map(str, strides))
            raise ValueError(f"{type(body).__name__}: maps of strides {told} are no pyramid; each has to be coarser")
        last = {stage.stride: place for place, stage in enumerate(every) if stage.stride >= finest}
        if not last:
            coarsest = max(strides)
            raise ValueError(
                f"finest={finest}: the maps of {type(body).__name__} have strides up to {coarsest} alone; a larger "
                "stride of its stem, or a smaller finest, is needed"
            )
        self.body = body
        self.seen = tuple(last[stride] for stride in sorted(last))
        maps: Sequence[Stage] = [every[place] for place in self.seen]
        self.neck = None if neck is None else neck([stage.channels for stage in maps])
        if self.neck is not None:
            maps = neck_stages(self.neck, maps)
        self.beyond, more = beyond(maps[-1].channels)
        coarser = [Level(width, maps[-1].stride << place) for place, width in enumerate(more, 1)]
        self.levels = [*(Level(stage.channels, stage.stride) for stage in maps), *coarser]
        widths = {level.channels for level in self.levels}
        self.out_channels = widths.pop() if len(widths) == 1 else 0

    def maps(self, x: Tensor) -> list[Tensor]:
        """The maps of a batch ``(B, C, H, W)`` that the heads see, ``(B, channels, H / stride, W / stride)`` each."""
        every = list(self.body(x))
        maps = [every[place] for place in self.seen]
        maps = maps if self.neck is None else list(self.neck(maps))
        return list(self.beyond(maps, maps, [])[0])

    def forward(self, x: Tensor) -> OrderedDict[str, Tensor]:
        """The same maps ``(B, channels, H / stride, W / stride)`` of ``(B, C, H, W)``, by name."""
        return OrderedDict((str(place), seen) for place, seen in enumerate(self.maps(x)))

    def stages(self, prefix: str) -> tuple[Stage, ...]:
        """The body's stages by their path in a network that has this under a prefix."""
        body: Any = self.body
        above = ".".join(part for part in (prefix, "body", getattr(body, "stock_path", "")) if part)
        return tuple(replace(stage, path=f"{above}.{stage.path}") for stage in body.stages if stage.path)


class ExtraBlocks(ExtraFPNBlock):
    """SSDLite's maps beyond the backbone's: 1×1, 3×3 of each channel with stride 2, 1×1; batch norms and ReLU6.

    Args:
        channels: Channels of the last map before them.
        widths: Channels of each.
    """

    def __init__(self, channels: int, widths: Sequence[int] = EXTRA) -> None:
        super().__init__()
        pairs = zip((channels, *widths[:-1]), widths, strict=True)
        self.widths = tuple(widths)
        self.blocks = nn.ModuleList(_extra_block(*pair, NORM) for pair in pairs)
        _normal_init(self.blocks)

    def forward(self, results: list[Tensor], x: list[Tensor], names: list[str]) -> tuple[list[Tensor], list[str]]:
        """The maps ``(B, C, H, W)``, and each block's behind them."""
        found = [*results]
        for block in self.blocks:
            found.append(block(found[-1]))
        return found, names

"""What stands between a backbone's maps and the heads, and what it makes of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.backbones import Stage
from blockyard.plugging import undisturbed


class Neck(nn.Module, ABC):
    """A module from a pyramid of maps to a pyramid of maps, ``(B, C, *S)`` each, finest first.

    The first two arguments of every neck are ``in_channels`` and ``spatial_dims``, so that a class, or a
    ``functools.partial`` of it, can be handed to a segmentor.

    Args:
        in_channels: Channels of the maps.
        spatial_dims: Rank of S: 1, 2 or 3.
        channels: Channels of the maps that come out.

    Raises:
        ValueError: If there is no map, nothing of this kind for that rank, or ``channels`` is not positive.
    """

    paper: ClassVar[str] = ""
    """First author, title, venue and year."""
    ranks: ClassVar[tuple[int, ...]] = (1, 2, 3)
    """The ranks of S that it exists for."""

    def __init__(self, in_channels: Sequence[int], spatial_dims: int = 2, channels: int = 1) -> None:
        super().__init__()
        if not in_channels or spatial_dims not in self.ranks:
            raise ValueError(
                f"{type(self).__name__} takes maps of rank {', '.join(map(str, self.ranks))}, "
                f"got {len(in_channels)} of rank {spatial_dims}"
            )
        if channels < 1:
            raise ValueError(f"{type(self).__name__}: channels must be at least 1, got {channels}")
        self.in_channels = list(in_channels)
        self.spatial_dims = spatial_dims

    @abstractmethod
    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Make maps ``(B, ·, *S)`` of maps ``(B, C, *S)``, finest first."""


def neck_stages(neck: nn.Module, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The maps of a neck; they are no stages of the network, so they have no path.

    Args:
        neck: Maps to maps.
        stages: The maps that it is given.
    """
    coarsest = max(stage.stride for stage in stages)
    maps = [torch.zeros(1, s.channels, 2 * coarsest // s.stride, 2 * coarsest // s.stride) for s in stages]
    with undisturbed(neck):
        outputs = neck(maps)
    return tuple(Stage("", x.shape[1], 2 * coarsest // x.shape[3]) for x in outputs)

"""A stage of a skeleton: residual units of one width around mixers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import nn

from blockyard.backbones.skeletons.parts import Style
from blockyard.blocks.base import Block
from blockyard.plugging.making import wishes

Mixer = Callable[[int, int], Block]
"""``(channels, spatial_dims) -> block``: a class, a ``functools.partial``, or what jsonargparse makes of a config."""

Mixing = Mixer | list[Mixer]
"""That of a stage: one for all units, or one for each."""


def by_stage(mixers: Any, depths: Sequence[int]) -> Any:
    """Mixers of which there is one for each unit as a list of lists, one for each stage; others as they are."""
    if not isinstance(mixers, list | tuple) or len(mixers) != sum(depths):
        return mixers
    rest = iter(mixers)
    return [[next(rest) for _ in range(depth)] for depth in depths]


def make_stage(
    depth: int,
    width: int,
    spatial_dims: int,
    mixers: tuple[Mixing, Mixing | None],
    style: Style,
    rates: Iterator[float],
    size: tuple[int, ...] | None,
) -> nn.Sequential:
    """Units that map ``(B, width, *S)`` to the same shape; a mixer that is a whole unit stands alone.

    Args:
        depth: Number of units.
        width: Channels.
        spatial_dims: Rank of S.
        mixers: What mixes positions, and what mixes channels; None is an MLP.
        style: What else the units are like.
        rates: Gives the probability of dropping a branch, unit by unit.
        size: S, for mixers that ask; None leaves them their defaults.
    """

    def made(mixers: Mixing, unit: int) -> Block:
        mixer = mixers[unit] if isinstance(mixers, list) else mixers
        return mixer(width, spatial_dims, **({"size": size} if size and "size" in wishes(mixer) else {}))

    units = list[nn.Module]()
    for unit in range(depth):
        rate, mixer = next(rates), made(mixers[0], unit)
        if getattr(mixer, "whole_unit", False):
            units.append(mixer)
            continue
        channel_mixer = made(mixers[1], unit) if mixers[1] else style.make_mlp(width, spatial_dims)
        units.append(style.make_unit(mixer, channel_mixer, rate))
    return nn.Sequential(*units)


def sizes_of(size: int | Sequence[int], spatial_dims: int, skeleton: str) -> tuple[int, ...]:
    """Positions of an input along each axis.

    Raises:
        ValueError: If they do not fit the rank, or there are none.
    """
    sizes = (size,) * spatial_dims if isinstance(size, int) else tuple(size)
    if len(sizes) != spatial_dims or min(sizes) < 1:
        raise ValueError(f"{skeleton}: input_size must be {spatial_dims} positive numbers, got {list(sizes)}")
    return sizes


def initialise(module: nn.Module) -> None:
    """Normal weights of σ = 0.02, no bias, but in what has first weights that are a part of what it is."""
    if getattr(module, "own_init", False) or (isinstance(module, Block) and module.identity_at_init):
        return
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    for child in module.children():
        initialise(child)

"""Which networks lie within one: how many units of each stage, and of each unit how many taps and channels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch

from blockyard.backbones.skeletons.elastic_mobilenet import ElasticMobileNet
from blockyard.backbones.skeletons.skipblock_net import divisible


@dataclass(frozen=True)
class Choices:
    """A network within another.

    Attributes:
        depths: Of each stage, how many of its units are kept, the first ones.
        kernels: Taps along each axis of each unit that is kept, over all stages.
        expansions: How many times more channels each unit that is kept has inside.
    """

    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expansions: tuple[float, ...]

    def options(self) -> dict[str, list[Any]]:
        """The options of an ElasticMobileNet that is this network, as a configuration has them."""
        return {name: list(getattr(self, name)) for name in ("depths", "kernels", "expansions")}


@dataclass(frozen=True)
class Space:
    """What there is to choose within a network, each from the least to the network's own.

    Attributes:
        depths: For each stage.
        kernels: For each unit of the whole network, over all stages.
        expansions: The same.
    """

    depths: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]
    expansions: tuple[tuple[float, ...], ...]

    @property
    def genes(self) -> tuple[tuple[float, ...], ...]:
        """What each gene of a network chooses from: the depths, then the kernels, then the expansions."""
        return *self.depths, *self.kernels, *self.expansions

    @property
    def whole(self) -> Choices:
        """The network itself."""
        return self.choices([len(values) - 1 for values in self.genes])

    @property
    def smallest(self) -> Choices:
        """The least of everything."""
        return self.choices([0] * len(self.genes))

    @property
    def count(self) -> int:
        """How many networks there are; genes of units that are left out do not tell any apart."""
        kinds = [len(taps) * len(wider) for taps, wider in zip(self.kernels, self.expansions, strict=True)]
        return math.prod(
            sum(math.prod(kinds[start : start + depth]) for depth in depths)
            for start, depths in zip(self._starts(), self.depths, strict=True)
        )

    def choices(self, genes: Sequence[int]) -> Choices:
        """The network of genes: for each of :attr:`genes` the place of a value, from 0.

        Raises:
            ValueError: If they are not as many, or there is no such place.
        """
        sizes = [len(values) for values in self.genes]
        if len(genes) != len(sizes) or not all(0 <= gene < size for gene, size in zip(genes, sizes, strict=True)):
            raise ValueError(f"genes must be places within {sizes}, got {list(genes)}")
        stages, units = len(self.depths), len(self.kernels)
        depths = [values[gene] for values, gene in zip(self.depths, genes, strict=False)]
        kept = self._kept(depths)
        return Choices(
            tuple(depths),
            tuple(self.kernels[unit][genes[stages + unit]] for unit in kept),
            tuple(self.expansions[unit][genes[stages + units + unit]] for unit in kept),
        )

    def draw(self, generator: torch.Generator) -> Choices:
        """A network, every gene drawn evenly."""
        sizes = (len(values) for values in self.genes)
        return self.choices([int(torch.randint(size, (), generator=generator)) for size in sizes])

    def __contains__(self, choices: Choices) -> bool:
        """Whether a network is one of these."""
        if len(choices.depths) != len(self.depths) or len(choices.kernels) != len(choices.expansions):
            return False
        kept, found = self._kept(choices.depths), (choices.kernels, choices.expansions)
        if len(choices.kernels) != len(kept) or kept[-1] >= len(self.kernels):
            return False
        pairs = [(self.kernels[unit], self.expansions[unit]) for unit in kept]
        return all(depth in values for depth, values in zip(choices.depths, self.depths, strict=True)) and all(
            taps in kernels and wider in expansions
            for taps, wider, (kernels, expansions) in zip(*found, pairs, strict=True)
        )

    def _starts(self) -> list[int]:
        """The first unit of each stage."""
        return list(accumulate((values[-1] for values in self.depths[:-1]), initial=0))

    def _kept(self, depths: Sequence[int]) -> list[int]:
        """The units of the whole network that are kept."""
        starts = zip(self._starts(), depths, strict=True)
        return [unit for start, depth in starts for unit in range(start, start + depth)]


def space_of(
    network: ElasticMobileNet, kernels: Sequence[int], depths: Sequence[int], expansions: Sequence[float]
) -> Space:
    """What may be chosen within a network: its own, and of these values those that are smaller.

    Args:
        network: The whole.
        kernels: Taps along each axis.
        depths: Units of a stage.
        expansions: How many times more channels a unit has inside.

    Raises:
        ValueError: If a value is none, or two expansions make the same unit, or one without its first convolution.
    """
    values = (*kernels, *depths, *expansions)
    if min(values, default=1) <= 0 or any(taps % 2 == 0 for taps in kernels):
        raise ValueError(f"kernels, depths and expansions must be positive, and kernels odd, got {list(values)}")
    with torch.device("meta"):
        fresh = network.like(network.depths, network.kernels, network.expansions)
    if any(one.shape != network.get_parameter(name).shape for name, one in fresh.named_parameters()):
        raise ValueError("a network that was pruned has no others within")
    space = Space(
        tuple(_up_to(own, depths) for own in network.depths),
        tuple(_up_to(own, kernels) for own in network.kernels),
        tuple(_up_to(own, expansions) for own in network.expansions),
    )
    for (path, unit), wider in zip(network.units(), space.expansions, strict=True):
        inside = [divisible(unit.in_channels * factor) for factor in wider]
        if len({*inside}) < len(inside) or unit.in_channels in inside[:-1]:
            said = f"expansions {list(wider)} of {unit.in_channels} channels, at {path}, make {inside}"
            raise ValueError(f"{said}: they must differ from each other, and from what they widen")
    return space


def _up_to(own: Any, values: Sequence[Any]) -> tuple[Any, ...]:
    return *sorted({value for value in values if value < own}), own

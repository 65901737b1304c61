"""What a channel is worth: criteria that look at weights alone, and the contract of all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.compression.groups import Group

Scores = list[Tensor]
"""One number a channel, ``(size,)``, of each group: the higher, the longer it stays."""
Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Samples:
    """Labelled samples that criteria may look at.

    Attributes:
        batches: Inputs ``(B, C, *S)`` with classes ``(B,)``, or labels ``(B, K)``.
        loss: Of logits ``(B, K)`` and such targets, a mean over the batch.
    """

    batches: Sequence[tuple[Tensor, Tensor]] = field(default_factory=tuple)
    loss: Loss = nn.functional.cross_entropy

    def __len__(self) -> int:
        return sum(len(x) for x, _ in self.batches)


class Criterion(ABC):
    """Scores the channels of the groups of a network.

    What :meth:`scores` gives compares the channels of a group. Where ``comparable`` is not set, the scores of a group
    are divided by their mean before those of several are compared.
    """

    needs_samples: ClassVar[bool] = False
    """Whether it looks at samples."""
    comparable: ClassVar[bool] = False
    """Whether its scores of several groups compare as they are."""
    paper: ClassVar[str] = ""
    """First author, title, venue and year."""

    @abstractmethod
    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Score all channels.

        Args:
            network: In evaluation; left as it was.
            groups: What of it.
            samples: What it may look at; none where ``needs_samples`` is not set.
        """


class _OfFilters(Criterion):
    """Looks at the weights that make each channel, of all layers that are added to it."""

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Score each group by a matrix of the weights of each channel."""
        return [self.of(filters(network, group)) for group in groups]

    @abstractmethod
    def of(self, weights: Tensor) -> Tensor:
        """Scores ``(size,)`` of weights ``(size, n)``."""


class L1(_OfFilters):
    """Sum of the sizes of a channel's weights."""

    paper = "Li et al., Pruning Filters for Efficient ConvNets, ICLR 2017"

    def of(self, weights: Tensor) -> Tensor:
        """Scores ``(size,)`` of weights ``(size, n)``."""
        return weights.abs().sum(1)


class L2(_OfFilters):
    """Length of a channel's weights as a vector."""

    paper = "He et al., Soft Filter Pruning for Accelerating Deep Convolutional Neural Networks, IJCAI 2018"

    def of(self, weights: Tensor) -> Tensor:
        """Scores ``(size,)`` of weights ``(size, n)``."""
        return weights.norm(dim=1)


class FPGM(_OfFilters):
    """Sum of the distances to all other channels' weights: what is near their geometric median, others can replace."""

    paper = "He et al., Filter Pruning via Geometric Median for Deep CNNs Acceleration, CVPR 2019"

    def of(self, weights: Tensor) -> Tensor:
        """Scores ``(size,)`` of weights ``(size, n)``."""
        return torch.cdist(weights, weights, compute_mode="donot_use_mm_for_euclid_dist").sum(1)


class BatchNormScale(Criterion):
    """Size of the factor that batch norms give a channel."""

    paper = "Liu et al., Learning Efficient Convolutional Networks through Network Slimming, ICCV 2017"
    comparable = True

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Sum the factors of all norms of a channel.

        Raises:
            ValueError: If a group has no batch norm.
        """
        found = []
        for group in groups:
            norms = [(part, norm.weight) for part, norm in group.norms(network) if norm.weight is not None]
            if not norms:
                raise ValueError(f"BatchNormScale: no batch norm scales the channels of {group.name}")
            found.append(sum((group.sums(part, w.detach().abs()).cpu() for part, w in norms), torch.zeros(group.size)))
        return found


class Random(Criterion):
    """Chance, which every other has to beat.

    Args:
        seed: Of the draws.
    """

    comparable = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Draw from 0 to 1."""
        generator = torch.Generator().manual_seed(self.seed)
        return [torch.rand(group.size, generator=generator) for group in groups]


def filters(network: nn.Module, group: Group) -> Tensor:
    """The weights that make each channel of a group, ``(size, n)``, of all convolutions and linear layers that do."""
    rows = []
    for part, module in group.writers(network):
        weight: Tensor = module.weight.detach()  # type: ignore[operator]
        weight = weight.transpose(0, 1) if getattr(module, "transposed", False) else weight
        order = part.channel.argsort(stable=True)
        rows.append(weight[part.index[order].to(weight.device)].reshape(group.size, -1))
    return torch.cat(rows, 1).float().cpu()


def compared(criterion: Criterion, scores: Scores) -> Scores:
    """Scores that compare across groups."""
    if criterion.comparable:
        return scores
    return [one / one.abs().mean().clamp_min(1e-30) for one in scores]

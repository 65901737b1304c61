"""Several criteria blended into one: clustered by what they say of each group, and weighed by evolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from blockyard.compression.criteria import FPGM, L1, L2, BatchNormScale, Criterion, Samples, Scores
from blockyard.compression.groups import Group
from blockyard.compression.masking import masked
from blockyard.compression.seeing import Activation, Relevance, Taylor
from blockyard.plugging import undisturbed

ALIKE = 0.8
"""Criteria whose ranks of a group's channels correlate at least so much are in one cluster."""
LEFT = 0.75
"""The share of each group's channels that a trial leaves."""
Clusters = list[list[int]]
"""Numbers of criteria, each in one."""


@dataclass(frozen=True)
class Choice:
    """What a blend takes of a group's clusters.

    Attributes:
        members: Which criterion speaks for each cluster.
        weights: What it weighs, from 0 to 1.
    """

    members: list[int]
    weights: list[float]


class Blend(Criterion):
    """A weighted mean of criteria, one of each cluster of those that say the same of a group.

    Which one, and what it weighs, evolution finds: of a generation the better half stays, the others are made from it
    by crossing and by chance. A choice is as good as the loss of held-out samples is low when a quarter of each group's
    channels is zero by it. The first generation holds every criterion by itself.

    Args:
        criteria: What to blend; None is all that look at weights or samples.
        population: Choices in a generation.
        generations: How many there are.
        seed: Of chance.

    Attributes:
        clusters: Of each group, by name, after :meth:`scores`.
        choices: Likewise, what was taken.
    """

    paper = "He et al., Blending Pruning Criteria for Convolutional Neural Networks, ICANN 2021"
    needs_samples = True
    comparable = True

    def __init__(
        self, criteria: Sequence[Criterion] | None = None, population: int = 12, generations: int = 8, seed: int = 0
    ) -> None:
        every = (L1(), L2(), FPGM(), BatchNormScale(), Taylor(), Activation(), Relevance())
        self.criteria = every if criteria is None else tuple(criteria)
        if not self.criteria or population < 2 or generations < 0:
            raise ValueError("Blend: it takes a criterion, a population of 2 and no fewer than 0 generations")
        self.given, self.population, self.generations, self.seed = criteria, population, generations, seed
        self.clusters: dict[str, Clusters] = {}
        self.choices: dict[str, Choice] = {}

    def scores(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> Scores:
        """Score by the choice that did best.

        Raises:
            ValueError: If there are fewer than two samples.
        """
        seen, held_out = _halves(samples)
        tables = self._tables(network, groups, seen)
        self.clusters = {group.name: clusters(table) for group, table in zip(groups, tables, strict=True)}
        draws = np.random.default_rng(self.seed)
        lists = list(self.clusters.values())
        people = [[_alone(one, number) for one in lists] for number in range(len(tables[0]) if tables else 0)]
        while len(people) < self.population:
            people.append([_drawn(one, draws) for one in lists])
        judged = sorted(((self._loss(network, groups, tables, one, held_out), one) for one in people), key=_loss_of)
        for _ in range(self.generations):
            parents = [one for _, one in judged[: max(2, self.population // 2)]]
            children = [_child(parents, lists, draws) for _ in range(self.population - len(parents))]
            judged = judged[: len(parents)]
            judged += [(self._loss(network, groups, tables, one, held_out), one) for one in children]
            judged.sort(key=_loss_of)
        best = judged[0][1] if judged else []
        self.choices = {group.name: choice for group, choice in zip(groups, best, strict=True)}
        return [blend(table, choice) for table, choice in zip(tables, best, strict=True)]

    def _tables(self, network: nn.Module, groups: Sequence[Group], samples: Samples) -> list[Tensor]:
        """What each criterion says of each group, ``(criteria, size)``, in units of its mean."""
        rows = []
        for criterion in self.criteria:
            try:
                rows.append(criterion.scores(network, groups, samples))
            except ValueError:
                if self.given is not None:
                    raise  # of all that there are, one that this network gives nothing to look at is left out
        return [torch.stack([_in_means(row[number]) for row in rows]) for number in range(len(groups))]

    def _loss(
        self, network: nn.Module, groups: Sequence[Group], tables: list[Tensor], person: list[Choice], samples: Samples
    ) -> float:
        gone = {}
        for group, table, choice in zip(groups, tables, person, strict=True):
            lowest = blend(table, choice).argsort(stable=True)[: round(group.size * (1 - LEFT))]
            gone[group.name] = [] if group.closed else lowest.tolist()
        with undisturbed(network), masked(network, groups, gone):
            losses = [float(samples.loss(network(x), target)) * len(x) for x, target in samples.batches]
        return sum(losses) / len(samples)


def clusters(table: Tensor, alike: float = ALIKE) -> Clusters:
    """Criteria that rank channels alike, each with every other of its cluster.

    Args:
        table: Scores ``(criteria, size)``.
        alike: The least rank correlation within a cluster.
    """
    ranks = np.stack([rankdata(row) for row in table.double().numpy()])
    centred = ranks - ranks.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1)
    found: Clusters = []
    for number in range(len(ranks)):
        for cluster in found:
            products = centred[cluster] @ centred[number]
            if (products >= (alike - 1e-9) * lengths[cluster] * lengths[number]).all():
                cluster.append(number)
                break
        else:
            found.append([number])
    return found


def blend(table: Tensor, choice: Choice) -> Tensor:
    """Scores ``(size,)``: the weighted mean of rows of a table ``(criteria, size)``, so that groups compare."""
    weights = torch.zeros(len(table), dtype=table.dtype)
    weights[choice.members] = torch.tensor(choice.weights, dtype=table.dtype)
    return weights @ table / weights.sum().clamp_min(1e-12)


def _in_means(scores: Tensor) -> Tensor:
    return scores.float() / scores.abs().mean().clamp_min(1e-30)


def _halves(samples: Samples) -> tuple[Samples, Samples]:
    """Every other sample to score by, and the rest to judge by."""
    if len(samples) < 2:
        raise ValueError("Blend: it takes two samples, one to score by and one to judge by")
    whole = [(x, target) for x, target in samples.batches if len(x) > 1]
    halves = [[(x[start::2], target[start::2]) for x, target in whole] for start in (0, 1)]
    return Samples(halves[0], samples.loss), Samples(halves[1], samples.loss)


def _alone(found: Clusters, criterion: int) -> Choice:
    """One criterion by itself."""
    members = [criterion if criterion in cluster else cluster[0] for cluster in found]
    return Choice(members, [float(criterion in cluster) for cluster in found])


def _drawn(found: Clusters, draws: np.random.Generator) -> Choice:
    return Choice([int(draws.choice(cluster)) for cluster in found], draws.random(len(found)).tolist())


def _child(parents: list[list[Choice]], found: list[Clusters], draws: np.random.Generator) -> list[Choice]:
    """Group by group from one of two parents, one in five anew."""
    first, second = (parents[i] for i in draws.choice(len(parents), 2, replace=False))
    mixed = [a if draws.random() < 0.5 else b for a, b in zip(first, second, strict=True)]
    return [_drawn(c, draws) if draws.random() < 0.2 else one for one, c in zip(mixed, found, strict=True)]


def _loss_of(judged: tuple[float, list[Choice]]) -> float:
    return judged[0]

"""What is asked of frozen features, and what came out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the verbs' options are read without torch
    from torch import Tensor

METHODS = ("linear", "knn", "retrieval")


@dataclass(frozen=True)
class Options:
    """What is asked for.

    Attributes:
        methods: Of :data:`METHODS`; None takes all that make sense for the task.
        k: Neighbours that vote.
        strength: Of the linear classifier's regularisation; None chooses it by the validation split.
        positions: Positions of a picture to learn from, at most.
        temperature: How much nearer neighbours count for more.
    """

    methods: tuple[str, ...] | None = None
    k: int = 20
    strength: float | None = None
    positions: int = 100
    temperature: float = 0.07


@dataclass(frozen=True)
class Score:
    """A number, and its 95 % percentile interval over test items drawn with replacement.

    Attributes:
        method: One of :data:`METHODS`.
        metric: What it is.
        value: The number.
        low: Lower end; None for a metric that is no mean over items, and where all items score the same.
        high: Upper end.
        settings: What else it depends on.
        values: Of each test item ``(n,)``, whose mean it is; None for a metric that is no mean over items.
    """

    method: str
    metric: str
    value: float
    low: float | None
    high: float | None
    settings: dict[str, float] = field(default_factory=dict)
    values: Tensor | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Verdict:
    """What features are worth.

    Attributes:
        features: What they are, in words.
        dimensions: Length D of a vector.
        samples: How many samples of each split there were.
        left_out: How many of each split could not be read.
        scores: The numbers.
    """

    features: str
    dimensions: int
    samples: dict[str, int]
    left_out: dict[str, int]
    scores: list[Score]

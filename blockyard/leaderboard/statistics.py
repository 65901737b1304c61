"""Means over seeds, their confidence intervals, and differences paired by seed.

Student's t is computed here: importing SciPy would take longer than all that the leaderboard does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

FEW_SEEDS = 3
"""Below this number of seeds an interval says next to nothing, and rows are marked."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The arithmetic mean.
        half_width: Half the width of the confidence interval; None for a single value, which has no interval.
        n: Number of values, or of pairs.
    """

    mean: float
    half_width: float | None
    n: int

    @property
    def few(self) -> bool:
        """Whether there are too few seeds to conclude anything."""
        return self.n < FEW_SEEDS


def estimate(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean and confidence interval over seeds.

    With n values, mean m and standard deviation s (n − 1 in its denominator), the interval is
    m ± t((1 + level) / 2; n − 1) · s / √n, t being the quantile of Student's distribution.

    Args:
        values: One value a seed; at least one.
        level: Confidence level, between 0 and 1.

    Raises:
        ValueError: If there is no value.
    """
    n = len(values)
    if n == 0:
        raise ValueError("estimate needs at least one value")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(mean, None, 1)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
    return Estimate(mean, t_quantile((1 + level) / 2, n - 1) * deviation / math.sqrt(n), n)


def paired_difference(row: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95) -> Estimate | None:
    """Mean difference row − baseline over the seeds that both have, with the interval of :func:`estimate`.

    Pairing takes out what a seed does to both (order of the data, init of the backbone): the interval is
    that of the differences d_s = row_s − baseline_s, not of two independent means.

    Args:
        row: Seed to value.
        baseline: Seed to value.
        level: Confidence level, between 0 and 1.

    Returns:
        The estimate, whose ``n`` is the number of pairs; None where there is no pair.
    """
    seeds = sorted(row.keys() & baseline.keys())
    return estimate([row[seed] - baseline[seed] for seed in seeds], level) if seeds else None


def t_cdf(t: float, degrees: int) -> float:
    """Distribution function of Student's t for a whole number of degrees of freedom ν.

    With θ = arctan(t / √ν), the probability A of (−t, t) is a finite sum (Abramowitz and Stegun, 26.7.3 and
    26.7.4):

    * ν even: A = sin θ · (1 + 1/2 cos²θ + (1·3)/(2·4) cos⁴θ + … up to cos^(ν−2) θ)
    * ν odd: A = 2/π · (θ + sin θ · (cos θ + 2/3 cos³θ + (2·4)/(3·5) cos⁵θ + … up to cos^(ν−2) θ))

    and the distribution function is (1 + A) / 2.

    Raises:
        ValueError: If ``degrees`` is below 1.
    """
    return (1 + _central(math.atan2(t, math.sqrt(_positive(degrees))), degrees)) / 2


@cache
def t_quantile(p: float, degrees: int) -> float:
    """Quantile of Student's t, the value below which a fraction ``p`` lies; bisects :func:`t_cdf` over θ.

    Raises:
        ValueError: If ``p`` is not between 0 and 1, or ``degrees`` is below 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"t_quantile needs 0 < p < 1, got {p}")
    low, high = -math.pi / 2, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        low, high = (middle, high) if (1 + _central(middle, _positive(degrees))) / 2 < p else (low, middle)
    return math.sqrt(degrees) * math.tan(high)


def _positive(degrees: int) -> int:
    if degrees < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, got {degrees}")
    return degrees


def _central(theta: float, degrees: int) -> float:
    """Probability of (−t, t), negative for negative t, at t = √ν tan θ."""
    cosine, odd = math.cos(theta), degrees % 2
    term = total = (cosine if odd else 1.0) if degrees > 1 else 0.0
    for k in range(2 + odd, degrees - 1, 2):
        term *= (k - 1) / k * cosine * cosine
        total += term
    partial = math.sin(theta) * total
    return 2 / math.pi * (theta + partial) if odd else partial

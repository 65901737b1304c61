"""Means over seeds, their confidence intervals, differences paired by seed, and their significance.

Student's t is computed here: importing SciPy would take longer than all that the leaderboard does. The formulas
are gathered in docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

FEW_SEEDS = 3
"""Below this number of seeds an interval says next to nothing, and rows are marked."""
ENOUGH_PAIRS = 5
"""From this number of pairs on, significance is computed."""
ALPHA = 0.05
"""Below this p value, corrected for the comparisons of its table, a difference is called significant."""
ROUNDING = 1e-9
"""Values that differ by less than this share of their size are the same: far above float64's rounding, far below one
sample more or less of any test split."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The arithmetic mean.
        half_width: Half the width of the confidence interval; None where there is none: for a single value, and for
            values without spread, which would be certain of anything.
        n: Number of values, or of pairs.
    """

    mean: float
    half_width: float | None
    n: int

    @property
    def few(self) -> bool:
        """Whether there are too few seeds to conclude anything."""
        return self.n < FEW_SEEDS


def estimate(values: Sequence[float], level: float = 0.95, least: float = 0.0) -> Estimate:
    """Mean and confidence interval over seeds; none over one seed, or where all values are the same up to rounding.

    With n values, mean m and standard deviation s (n − 1 in its denominator), the interval is
    m ± t((1 + level) / 2; n − 1) · s / √n, t being the quantile of Student's distribution.

    Args:
        values: One value a seed; at least one.
        level: Confidence level, between 0 and 1.
        least: The standard deviation is taken to be no less, such as the share of one test sample: the values may be
            alike because they can't be told apart any finer. 0 leaves values without spread without an interval.

    Raises:
        ValueError: If there is no value.
    """
    return _estimate(values, level, max(map(abs, values), default=0.0), least)


def paired_difference(
    row: Mapping[int, float], baseline: Mapping[int, float], level: float = 0.95, least: float = 0.0
) -> Estimate | None:
    """Mean difference row − baseline over the seeds that both have, with the interval of :func:`estimate`.

    Pairing takes out what a seed does to both (order of the data, init of the backbone): the interval is
    that of the differences d_s = row_s − baseline_s, not of two independent means.

    Args:
        row: Seed to value.
        baseline: Seed to value.
        level: Confidence level, between 0 and 1.
        least: As of :func:`estimate`.

    Returns:
        The estimate, whose ``n`` is the number of pairs; None where there is no pair.
    """
    differences = _differences(row, baseline)
    return _estimate(differences, level, _size(row, baseline), least) if differences else None


def paired_p_value(row: Mapping[int, float], baseline: Mapping[int, float], least: float = 0.0) -> float | None:
    """Two-sided p value of Student's t test paired by seed.

    With n differences of mean m and standard deviation s (n − 1 in its denominator), t = m √n / s and
    p = 2 (1 − F(|t|; n − 1)), F being :func:`t_cdf`.

    Args:
        row: Seed to value.
        baseline: Seed to value.
        least: As of :func:`estimate`.

    Returns:
        The p value, not corrected for the number of comparisons. None below :data:`ENOUGH_PAIRS` pairs, and where
        :func:`paired_difference` has no interval: without spread there is nothing to test against.
    """
    differences = _differences(row, baseline)
    n = len(differences)
    if n < ENOUGH_PAIRS:
        return None
    mean = math.fsum(differences) / n
    deviation = _deviation(differences, mean, _size(row, baseline), least)
    if not deviation:
        return None
    return max(0.0, 2 * (1 - t_cdf(abs(mean) * math.sqrt(n) / deviation, n - 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values for their number, so that the chance of any false finding among them stays at the level.

    Of m p values in ascending order, the k-th becomes max over j ≤ k of min(1, (m − j + 1) p_j) (S. Holm, A Simple
    Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979).

    Returns:
        The adjusted p values, in the order given.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


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


def _estimate(values: Sequence[float], level: float, size: float, least: float) -> Estimate:
    """The estimate of values that were computed from numbers up to ``size``."""
    n = len(values)
    if n == 0:
        raise ValueError("estimate needs at least one value")
    mean = math.fsum(values) / n
    deviation = _deviation(values, mean, size, least)
    return Estimate(mean, t_quantile((1 + level) / 2, n - 1) * deviation / math.sqrt(n) if deviation else None, n)


def _deviation(values: Sequence[float], mean: float, size: float, least: float) -> float:
    """Standard deviation (n − 1 in its denominator); 0 for one value, and for what is rounding of numbers of a size."""
    if len(values) < 2:
        return 0.0
    deviation = max(least, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)))
    return deviation if deviation > ROUNDING * size else 0.0


def _size(row: Mapping[int, float], baseline: Mapping[int, float]) -> float:
    return max(abs(value) for seeds in (row, baseline) for value in seeds.values())


def _differences(row: Mapping[int, float], baseline: Mapping[int, float]) -> list[float]:
    return [row[seed] - baseline[seed] for seed in sorted(row.keys() & baseline.keys())]


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

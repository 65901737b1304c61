"""How much a difference depends on the choice of test items: a paired bootstrap over their stored scores.

NumPy is imported when there are scores to read: the leaderboard answers without it where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blockyard.leaderboard.record import Record
from blockyard.leaderboard.statistics import ROUNDING

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2_000
"""Resamples, where they are drawn; their number moves an end of an interval by about 1.5 % of the interval's width."""
OUTCOMES = 4_000_000
"""Possible sums up to which their distribution is computed, to bound memory."""
CELLS = 1_000_000
"""Items drawn at once, to bound memory."""


@dataclass(frozen=True)
class Interval:
    """An interval of a score, or of a difference to the baseline."""

    low: float
    high: float


def bootstrap_difference(
    row: Mapping[int, np.ndarray], baseline: Mapping[int, np.ndarray], level: float = 0.95, resamples: int = RESAMPLES
) -> Interval | None:
    """Percentile interval of the mean difference row − baseline, test items resampled.

    An item's difference d_i is averaged over the seeds that both have, and items are drawn with replacement: all
    runs of a resample see the same items, so an item that is hard for both sides adds nothing. Of whole numbers,
    such as right or wrong, the distribution over all possible resamples is computed; of others, resamples are drawn,
    with the same random numbers in every call. Neither depends on the order of the items.

    Args:
        row: Seed to the scores of all n test items, ``(n,)``.
        baseline: Seed to the scores of the same items, ``(n,)``.
        level: Confidence level, between 0 and 1.
        resamples: Number of resamples, where they are drawn.

    Returns:
        The interval; None where no seed is common, and where all d_i are the same up to rounding: one item, or items
        without spread, say nothing of what other items would.

    Raises:
        ValueError: If the numbers of items differ.
    """
    import numpy as np

    seeds = sorted(row.keys() & baseline.keys())
    if not seeds:
        return None
    sides = [[scores[seed] for seed in seeds] for scores in (row, baseline)]
    if len({len(values) for side in sides for values in side}) > 1:
        raise ValueError("the runs were tested on different numbers of items")
    ours, theirs = (np.sum(side, 0, dtype=float) for side in sides)
    differences, tails = ours - theirs, ((1 - level) / 2, (1 + level) / 2)
    if np.ptp(differences) <= ROUNDING * max(np.abs(ours).max(), np.abs(theirs).max()):
        return None
    whole = all(values.dtype.kind in "biu" for side in sides for values in side)
    if whole and np.ptp(differences) * len(differences) <= OUTCOMES:
        ends = _exact_quantiles(differences.astype(int), tails)
    else:
        ends = np.quantile(_resampled_means(differences, resamples), tails)
    return Interval(*(float(end) / len(seeds) for end in ends))


def bootstrap_mean(scores: np.ndarray, level: float = 0.95) -> Interval | None:
    """Percentile interval of the mean of one run's scores ``(n,)``, test items resampled.

    It says how far the choice of test items moves the score; that of another seed is not in it. None where all items
    score the same: 20 of 20 right is not certain to stay 100 %.
    """
    return bootstrap_difference({0: scores}, {0: scores * 0}, level)


class StoredScores:
    """The files of scores beside records; those of baselines, which many rows are compared with, are read once.

    Args:
        folders: Where the files are looked for.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self._baselines: dict[str, dict[str, np.ndarray]] = {}

    def of(self, record: Record) -> dict[str, np.ndarray]:
        """The scores of a run: name to ``(n,)``.

        Raises:
            ValueError: If they are missing, damaged or not the record's.
        """
        if record.run in self._baselines:
            return self._baselines[record.run]
        scores = self._read(record)
        if record.experiment == record.baseline:
            self._baselines[record.run] = scores
        return scores

    def _read(self, record: Record) -> dict[str, np.ndarray]:
        if record.scores is None:
            raise ValueError(f"run {record.run} has no scores on record")
        from blockyard.leaderboard.scores import read_scores

        found = [folder / record.scores for folder in self.folders if (folder / record.scores).is_file()]
        if not found:
            raise ValueError(f"{record.scores}: no such file beside the records")
        return read_scores(found[0], record.scores_sha256 or "")


def item_interval(row: Sequence[Record], baseline: Sequence[Record], stored: StoredScores) -> Interval | None:
    """The interval of :func:`bootstrap_difference` from the files beside two experiments' records.

    Args:
        row: Runs of an experiment, one a seed.
        baseline: Runs of its baseline.
        stored: Where their scores are.

    Returns:
        The interval; None where no seed is common.

    Raises:
        ValueError: If a file is missing, damaged or not the record's, the numbers of items differ, the primary metric
            is not the mean of a stored score, or all items differ alike; the message is one line.
    """
    seeds = {run.seed for run in row} & {run.seed for run in baseline}
    sides = [[run for run in side if run.seed in seeds] for side in (row, baseline)]
    if not seeds:
        return None
    scores = {run.run: stored.of(run) for side in sides for run in side}
    name = averaged_score([(run, scores[run.run]) for side in sides for run in side])
    ours, theirs = ({run.seed: scores[run.run][name] for run in side} for side in sides)
    interval = bootstrap_difference(ours, theirs)
    if interval is None:
        raise ValueError("all test items differ alike from the baseline")
    return interval


def averaged_score(runs: Sequence[tuple[Record, dict[str, np.ndarray]]]) -> str:
    """The score whose mean over items is the primary metric in every run; its own name first.

    A metric of a whole split (mIoU, mean average precision over classes) is no mean over items: resampling the
    items' own scores would put an interval around another quantity.

    Raises:
        ValueError: If there is none.
    """
    primary = runs[0][0].primary
    names = sorted(set.intersection(*(set(scores) for _, scores in runs)), key=lambda name: (name != primary, name))
    for name in names:
        if all(_is_mean(run.metrics[primary], scores[name]) for run, scores in runs):
            return name
    raise ValueError(f"{primary} is not the mean of a stored score")


def _is_mean(value: float, scores: np.ndarray) -> bool:
    """Whether a metric, rounded to seven digits, is the mean of float32 scores ``(n,)``, whatever their size is."""
    return len(scores) > 0 and bool(abs(scores.mean(dtype=float) - value) <= 1e-5 * abs(scores).mean(dtype=float))


def _exact_quantiles(differences: np.ndarray, tails: Sequence[float]) -> list[float]:
    """Quantiles of the mean of n items drawn with replacement, from whole numbers ``(n,)``.

    The sum of n independent draws is distributed as the n-fold convolution of one: a power of its Fourier transform.
    """
    import numpy as np

    n, least = len(differences), differences.min()
    chances = np.bincount(differences - least) / n
    outcomes = n * (len(chances) - 1) + 1
    length = 1 << (outcomes - 1).bit_length()  # a power of two transforms fast
    masses = np.fft.irfft(np.fft.rfft(chances, length) ** n, length)[:outcomes] if length > 1 else np.ones(1)
    below = np.cumsum(masses)
    # the transform leaves about 1e-12 in every outcome, ends included
    return [float(least + np.argmax(below >= tail) / n) for tail in tails]


def _resampled_means(differences: np.ndarray, resamples: int) -> np.ndarray:
    """Means ``(resamples,)`` of as many items drawn with replacement, from the differences ``(n,)``."""
    import numpy as np

    random, ordered, n = np.random.default_rng(0), np.sort(differences), len(differences)
    step = max(1, CELLS // n)
    blocks = [min(step, resamples - start) for start in range(0, resamples, step)]
    return np.concatenate([ordered[random.integers(0, n, (block, n))].mean(1) for block in blocks])

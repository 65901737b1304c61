"""Predictors of what candidates are worth, trained on the few that were judged, and a search guided by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, product
from typing import Any

import numpy as np
from scipy.stats import rankdata

from blockyard.compression.searching.front import Floats, Values, front, gains, hypervolume
from blockyard.compression.searching.history import History
from blockyard.compression.searching.space import Code, Space
from blockyard.compression.searching.strategies import Strategy, evolve, fresh, whole

RIDGES = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
DEGREES = (1, 2)
"""Of polynomials: additive in the choices, or of every two of them together, as MACs are."""

LEAST = 1e-5
"""The share of the hypervolume that a candidate has to add for the predictors' word to be worth a judgement."""


class Predictor:
    """Ridge regression on polynomials of a candidate, in closed form.

    What is seen of a candidate are its choices one-hot, or their positions from -1 to 1; which, the degree and the
    ridge are those with the least squared error when each candidate in turn is left out.

    Args:
        space: Of the candidates.
        codes: Candidates that were judged.
        values: One number each.

    Attributes:
        left_out: What is predicted of each when it is left out, ``(n,)``.
    """

    def __init__(self, space: Space, codes: Sequence[Code], values: Sequence[float]) -> None:
        self.space, self.codes = space, list(codes)
        y = np.array(values, float)
        self._mean = float(y.mean())
        best = np.inf
        for positions, degree in product((False, True), DEGREES):
            sizes, vectors = np.linalg.eigh(self._kernel(codes, positions, degree))
            for ridge in RIDGES:
                inverse = vectors / (sizes.clip(0) + ridge) @ vectors.T
                weights = inverse @ (y - self._mean)
                left_out = y - weights / np.diag(inverse)
                if (error := float(((y - left_out) ** 2).mean())) < best:
                    best, self.left_out = error, left_out
                    self._chosen, self._weights = (positions, degree), weights

    def __call__(self, codes: Sequence[Code]) -> Floats:
        """What is predicted of candidates, ``(n,)``."""
        return self._mean + self._kernel(codes, *self._chosen) @ self._weights

    def _kernel(self, codes: Sequence[Code], positions: bool, degree: int) -> Floats:
        """Products of polynomials of candidates with those of the judged, ``(n, judged)``."""
        rows, judged = (_features(self.space, some, positions) for some in (codes, self.codes))
        return (1 + rows @ judged.T / len(self.space)) ** degree


def _features(space: Space, codes: Sequence[Code], positions: bool) -> Floats:
    if not positions:
        return space.one_hot(codes)
    return 2 * np.array(codes, float) / np.maximum(1, np.array(space.sizes) - 1) - 1


@dataclass(frozen=True)
class Calibration:
    """How well predictors did, by objective.

    Attributes:
        judged: How many candidates they were trained on.
        left_out: Root of the mean squared error when each of these in turn is left out.
        left_out_rank: Rank correlation of what is predicted then; None where all values are the same.
        chosen: Mean size of the error of what was chosen by them, predicted before it was judged.
        chosen_rank: Likewise, its rank correlation.
    """

    judged: int
    left_out: list[float]
    left_out_rank: list[float | None]
    chosen: list[float]
    chosen_rank: list[float | None]


class Predicted(Strategy):
    """Evolution on predictors, of which the best are judged and train the predictors anew.

    Of the last generation those are judged, one after the other, that would add most to the hypervolume of what has
    been found; where none would, chance draws.

    Args:
        warm: Candidates that are judged before, the whole network and others by chance.
        batch: Candidates that are judged between trainings.
        population: Of a generation.
        generations: Of evolution on the predictors.

    Attributes:
        calibration: Of each training.
    """

    paper = "Sridhar et al., SimQ-NAS: Simultaneous Quantization Policy and Neural Architecture Search, arXiv 2023"

    def __init__(self, warm: int = 12, batch: int = 4, population: int = 48, generations: int = 20) -> None:
        self.warm, self.batch = warm, batch
        self.population, self.generations = population, generations
        self.calibration: list[Calibration] = []

    def search(self, history: History, seed: int) -> None:
        """Judge, train, evolve, and again."""
        draws = np.random.default_rng(seed)
        history.values([whole(history.space)])
        chance = fresh(history, draws)
        history.values(list(islice(chance, max(2, self.warm) - len(history.found))))
        while history.left:
            codes, table = list(history.found), np.array(list(history.found.values()), float)
            predictors = [Predictor(history.space, codes, column) for column in table.T]
            chosen = self._chosen(history, predictors, int(draws.integers(2**31)), chance)[: history.left]
            if not chosen:
                return
            guesses = np.stack([predict(chosen) for predict in predictors])
            found = np.array(history.values(chosen), float).T
            self.calibration.append(_calibration(predictors, table.T, guesses, found))

    def _chosen(
        self, history: History, predictors: Sequence[Predictor], seed: int, chance: Iterator[Code]
    ) -> list[Code]:
        """The next candidates to judge, the best first."""
        values = list(history.found.values())
        best = front(values)
        codes = list(history.found)

        def guess(some: Sequence[Code]) -> list[Values]:
            return [tuple(row) for row in np.stack([predict(some) for predict in predictors], 1).tolist()]

        first = [codes[number] for number in best][: self.population]
        generations = evolve(history.space, guess, len(predictors), self.population, seed, first)
        *_, last = [first, *islice(generations, self.generations)]
        waiting = {code: one for code, one in zip(last, guess(last), strict=True) if code not in history.found}
        covered, reference = [values[number] for number in best], tuple(np.max(values, 0) + 1e-9)
        chosen: list[Code] = []
        while waiting and len(chosen) < self.batch:
            added = gains(list(waiting.values()), covered, reference)
            if max(added) <= LEAST * hypervolume(covered, reference):
                break
            code = list(waiting)[int(np.argmax(added))]
            covered.append(waiting.pop(code))
            chosen.append(code)
        return chosen or list(islice(chance, self.batch))


def _calibration(predictors: Sequence[Predictor], values: Floats, guesses: Floats, found: Floats) -> Calibration:
    left_out = [one.left_out for one in predictors]
    return Calibration(
        values.shape[1],
        [float(np.sqrt(((a - b) ** 2).mean())) for a, b in zip(left_out, values, strict=True)],
        [rank_correlation(a, b) for a, b in zip(left_out, values, strict=True)],
        np.abs(guesses - found).mean(1).tolist(),
        [rank_correlation(a, b) for a, b in zip(guesses, found, strict=True)],
    )


def rank_correlation(a: Any, b: Any) -> float | None:
    """Spearman's, of rows ``(n,)``; None where one of them has one value alone."""
    ranks = rankdata(a), rankdata(b)
    if min(np.ptp(one) for one in ranks) == 0:
        return None
    return float(np.corrcoef(*ranks)[0, 1])

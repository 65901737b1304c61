"""Predictors in closed form, and what a search by them is worth."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

from blockyard.compression.searching.front import hypervolume
from blockyard.compression.searching.history import History
from blockyard.compression.searching.predicted import DEGREES, RIDGES, Predicted, Predictor, rank_correlation
from blockyard.compression.searching.space import Choice, Space
from blockyard.compression.searching.strategies import NSGA2, Random

SPACE = Space(tuple(Choice(f"x{number}", tuple(range(4))) for number in range(7)))


def drawn(count: int, seed: int = 0) -> list[tuple[int, ...]]:
    draws = np.random.default_rng(seed)
    return [SPACE.draw(draws) for _ in range(count)]


def test_what_is_left_out_in_closed_form_is_left_out():
    codes = drawn(12)
    values = [math.sin(sum(code)) + code[0] for code in codes]
    mean = np.mean(values)  # stays that of all
    found = Predictor(SPACE, codes, values)
    for number in range(12):
        rest = [code for other, code in enumerate(codes) if other != number]
        y = np.array([value for other, value in enumerate(values) if other != number]) - mean
        errors = []
        for positions in (False, True):
            for degree in DEGREES:
                one = Predictor(SPACE, rest, y)
                kernel, row = (one._kernel(some, positions, degree) for some in (rest, codes[number : number + 1]))
                errors += [
                    abs(float(row[0] @ np.linalg.solve(kernel + ridge * np.eye(11), y)) + mean - found.left_out[number])
                    for ridge in RIDGES
                ]
        assert min(errors) < 1e-5


def test_what_depends_on_choices_by_twos_is_predicted_exactly():
    def macs(code):  # of layers in a row, each as wide as its choice says
        widths = [1, *(0.25 * (x + 1) for x in code), 1]
        return sum(a * b for a, b in pairwise(widths))

    codes, new = drawn(60), drawn(50, seed=1)
    predict = Predictor(SPACE, codes, [macs(code) for code in codes])
    assert predict(new) == pytest.approx([macs(code) for code in new], abs=1e-3)


def test_ranks_correlate_as_scipy_has_it():
    a, b = np.random.default_rng(0).integers(0, 5, (2, 30))
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b)[0])
    assert rank_correlation(a, -a) == pytest.approx(-1)
    assert rank_correlation(a, a * 0) is None


def toy(code):
    first, rest = code[0] / 3, 1 + 3 * sum(abs(x - 1) for x in code[1:])
    return first, rest * (1 - math.sqrt(first / rest))


@pytest.fixture(scope="module")
def searched():
    pytest.importorskip("pymoo")
    found = {}
    for kind in (Random, NSGA2, Predicted):
        history = History(SPACE, toy, 32)
        strategy = kind()
        strategy.run(history, 0)
        found[kind] = strategy, history
    return found


def test_predictors_find_more_than_evolution_does_at_an_equal_budget(searched):
    volumes = {kind: hypervolume(history.found.values(), (1.1, 30.0)) for kind, (_, history) in searched.items()}
    assert {len(history.found) for _, history in searched.values()} == {32}
    assert volumes[Predicted] > 1.1 * max(volumes[NSGA2], volumes[Random])
    best = hypervolume([(x / 3, 1 - math.sqrt(x / 3)) for x in range(4)], (1.1, 30.0))
    assert volumes[Predicted] == pytest.approx(best, rel=0.02)


def test_calibration_is_of_what_was_predicted_before_it_was_judged(searched):
    strategy, history = searched[Predicted]
    assert strategy.calibration[0].judged == 12
    values = list(history.found.items())
    for one, after in zip(strategy.calibration, [*islice(strategy.calibration, 1, None), None], strict=True):
        known, chosen = values[: one.judged], values[one.judged : after.judged if after else 32]
        guesses = Predictor(SPACE, [code for code, _ in known], [value[1] for _, value in known])(
            [code for code, _ in chosen]
        )
        assert one.chosen[1] == pytest.approx(np.abs(guesses - [value[1] for _, value in chosen]).mean())


def test_a_larger_budget_goes_on(searched):
    _, long = searched[Predicted]
    short = History(SPACE, toy, 29)
    Predicted().run(short, 0)
    assert list(short.found) == list(long.found)[:29]

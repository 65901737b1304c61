"""Strategies on an objective whose whole front is known, which they reach or not at an equal budget."""

from __future__ import annotations

import math
from statistics import mean

import pytest

from blockyard.compression.searching.front import front, hypervolume
from blockyard.compression.searching.history import BudgetSpentError, History
from blockyard.compression.searching.space import Choice, Space
from blockyard.compression.searching.strategies import NSGA2, Random

SPACE = Space(tuple(Choice(f"x{number}", tuple(range(6))) for number in range(8)))
FRONT = [(x / 5, 1 - math.sqrt(x / 5)) for x in range(6)]
REFERENCE = (1.1, 10.0)


def zdt1(code):
    """Zitzler, Deb and Thiele's first, on six values a variable: on its front all but the first are two."""
    first, rest = code[0] / 5, 1 + 9 * mean(abs(x - 2) for x in code[1:]) / 5
    return first, rest * (1 - math.sqrt(first / rest))


def found(strategy, seed=0, budget=240, space=SPACE, judge=zdt1):
    history = History(space, judge, budget)
    strategy.run(history, seed)
    return history.found


@pytest.fixture(params=["Random", "NSGA2"])
def strategy(request):
    if request.param == "Random":
        return Random()
    pytest.importorskip("pymoo")
    return NSGA2()


def test_the_front_of_the_toy_is_what_its_formula_says():
    every = [(x, *[2] * 7) for x in range(6)]
    assert [zdt1(code) for code in every] == FRONT
    assert len(front(FRONT)) == 6


def test_evolution_reaches_the_front_that_chance_does_not():
    pytest.importorskip("pymoo")
    volumes = {
        kind: [hypervolume(found(kind(), seed).values(), REFERENCE) for seed in range(3)] for kind in (Random, NSGA2)
    }
    whole = hypervolume(FRONT, REFERENCE)
    assert min(volumes[NSGA2]) > 0.99 * whole
    assert max(volumes[Random]) < 0.93 * whole
    assert set(found(NSGA2(), budget=300).values()) >= set(FRONT)


def test_a_budget_is_kept_and_a_larger_one_goes_on(strategy):
    short, long = found(strategy, budget=37), found(strategy, budget=60)
    assert (len(short), len(long)) == (37, 60)
    assert list(long)[:37] == list(short)
    assert list(found(strategy, seed=1, budget=37)) != list(short)


def test_what_was_judged_before_is_not_judged_again(strategy):
    """As when a search goes on from a file."""
    whole, seen = found(strategy, budget=40), []

    def judge(code):
        seen.append(code)
        return zdt1(code)

    known = dict(list(whole.items())[:23])
    assert found(strategy, budget=40, judge=lambda code: known.get(code) or judge(code)) == whole
    assert seen == list(whole)[23:]


def test_a_small_space_is_gone_through_and_that_is_all(strategy):
    space = Space((Choice("a", (1, 2)), Choice("b", (1, 2, 3)), Choice("alone", (7,))))
    judged = found(strategy, budget=100, space=space, judge=lambda code: (code[0], -code[1]))
    assert set(judged) <= set(space.every())
    assert (0, 2, 0) in judged
    if isinstance(strategy, Random):
        assert len(judged) == 6


def test_a_history_ends_at_its_budget():
    history = History(SPACE, zdt1, 1)
    code = (0, *[2] * 7)
    assert history.values([code, code]) == [FRONT[0]] * 2
    with pytest.raises(BudgetSpentError):
        history.values([(1,) * 8])

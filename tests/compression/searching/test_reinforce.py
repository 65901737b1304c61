"""The reward at its corners, a bandit that the policy solves, and stages."""

from __future__ import annotations

import math
import operator
from collections import Counter

import numpy as np
import pytest
import torch

from blockyard.compression.searching.history import History
from blockyard.compression.searching.reinforce import Learner, Policy, Reinforce, reward
from blockyard.compression.searching.space import Choice, Space


def space(*names: str, values: int = 3) -> Space:
    return Space(tuple(Choice(name, tuple(range(values))) for name in names))


def test_the_reward_at_its_corners():
    assert reward(0.9, 0.9, 1.0) == 0, "nothing is gained without compression"
    assert reward(0.9, 0.9, 0.0) == 1, "all of it, with nothing lost"
    assert reward(0.0, 0.9, 0.0) == 0
    assert reward(0.45, 0.9, 0.5) == pytest.approx(0.75 / 2)
    slopes = np.diff([reward(1, 1, cost) for cost in np.linspace(1, 0, 11)])
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all(), "the further it is compressed, the less more of it earns"


@pytest.mark.parametrize("both_sides", [True, False])
def test_probabilities_are_those_of_what_is_drawn(both_sides):
    """Frequencies of many draws are what the policy says of them: 2 choices of 2 values, 4 standard errors."""
    torch.manual_seed(0)
    policy = Policy(space("a:1", "b:2", values=2), both_sides, hidden=4)
    with torch.no_grad():
        codes, logs = policy.draw(400, torch.Generator().manual_seed(0))
    said = dict(zip(codes, logs.exp().tolist(), strict=True))
    seen = Counter(codes)
    assert sum(said.values()) == pytest.approx(1)
    for code, chance in said.items():
        assert abs(seen[code] / 400 - chance) < 4 * (chance * (1 - chance) / 400) ** 0.5


@pytest.mark.parametrize("both_sides", [True, False])
def test_it_solves_a_bandit(both_sides):
    """One arm of 27 earns most, by what each of three choices adds: in the end the policy draws little else."""
    target = (2, 0, 1)
    torch.manual_seed(0)
    learner = Learner(Policy(space("a:1", "a:2", "a:3"), both_sides), seed=0, lr=0.05)
    for _ in range(60):
        codes, _ = learner.round(8, lambda codes: [sum(map(operator.eq, code, target)) / 3 for code in codes])
    assert Counter(codes)[target] >= 7


def test_units_go_first_and_stay_away():
    asked: list[tuple[int, ...]] = []

    def judge(code):
        asked.append(code)
        return 0.1, math.log10((sum(code) + 1) / 7)

    mixed = Space((*space("units:1", "units:2", values=2).choices, *space("channels:1", "channels:2").choices))
    Reinforce().run(History(mixed, judge, 12), seed=1)
    assert asked[0] == (1, 1, 2, 2), "the whole network"
    shrunk = [code for code in asked if code[2:] != (2, 2)]
    removed = asked[1 : asked.index(shrunk[0])]
    assert all(code[2:] == (2, 2) for code in removed)
    assert {code[:2] for code in shrunk} == {(0, 0)}, "of the best that was left, which is the smallest here"


def test_the_seed_alone_decides():
    def searched(seed):
        found = History(space("channels:1", "channels:2", "channels:3"), lambda code: (0.1, sum(code) / 6 - 1), 15)
        Reinforce().run(found, seed)
        return list(found.found)

    torch.manual_seed(5)
    first = searched(0)
    torch.manual_seed(6)
    assert searched(0) == first
    assert searched(1) != first

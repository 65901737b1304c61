"""What each kind of functions is."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.polynomial import chebyshev as reference

from blockyard.blocks.convolutions.function_bases import BASES, LEAST, chebyshev, radial, splines, wavelets

U = torch.linspace(-1, 1, 401, dtype=torch.float64).view(1, 1, -1)


def recursive(x: float, k: int, degree: int, knots: list[float]) -> float:
    """A B-spline by Cox and de Boor's recursion."""
    if degree == 0:
        return float(knots[k] <= x < knots[k + 1])
    left = (x - knots[k]) / (knots[k + degree] - knots[k])
    right = (knots[k + degree + 1] - x) / (knots[k + degree + 1] - knots[k + 1])
    return left * recursive(x, k, degree - 1, knots) + right * recursive(x, k + 1, degree - 1, knots)


@pytest.mark.parametrize("count", [4, 6, 11])
def test_splines_are_positive_and_sum_to_one(count: int):
    found = splines(U, count)
    assert found.shape == (1, 1, count, 401)
    assert found.min() >= 0
    torch.testing.assert_close(found.sum(2), torch.ones_like(U))


def test_splines_are_those_of_the_recursion():
    width = 2 / 3
    knots = [-1 + width * (k - 3) for k in range(10)]
    expected = [[recursive(x, k, 3, knots) for k in range(6)] for x in U[0, 0, ::40].tolist()[:-1]]
    found = splines(U, 6)[0, 0].mT[::40][:-1]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_polynomials_are_those_of_numpy():
    expected = reference.chebvander(U.flatten().numpy(), 6).T
    np.testing.assert_allclose(chebyshev(U, 7)[0, 0].numpy(), expected, atol=1e-12)


def test_wavelets_have_no_mean_and_radial_functions_their_maximum_at_their_places():
    wide = torch.linspace(-24, 24, 4801, dtype=torch.float64).view(1, 1, -1)
    assert wavelets(wide, 5).mean(3).abs().max() < 1e-10
    for make in (radial, wavelets):
        assert wide[0, 0, make(wide, 5)[0, 0].argmax(1)].tolist() == pytest.approx([-2, -1, 0, 1, 2])


@pytest.mark.parametrize("make", BASES.values(), ids=BASES.keys())
@pytest.mark.parametrize("target", [lambda u: (math.pi * u).sin(), torch.exp], ids=["sin", "exp"])
def test_sums_of_a_few_recover_sine_and_exponential(make, target):
    """Ten of each kind, fitted by least squares, at worst so far from what they are of."""
    functions, values = make(U, 10)[0, 0].mT, target(U[0, 0])
    weights = torch.linalg.lstsq(functions, values[:, None]).solution[:, 0]
    assert (functions @ weights - values).abs().max() < 0.02


def test_the_fewest_are_enough_for_every_kind():
    assert all(make(U, LEAST).shape == (1, 1, LEAST, 401) for make in BASES.values())

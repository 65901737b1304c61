"""Fronts and what they cover, against their definitions and against pymoo."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.compression.searching.front import front, gains, hypervolume

POINTS = st.integers(1, 3).flatmap(
    lambda size: st.lists(st.tuples(*[st.integers(0, 6)] * size), min_size=1, max_size=12)
)


@given(POINTS)
def test_the_front_is_what_nothing_beats(points):
    found = {points[number] for number in front(points)}

    def beats(a, b):
        return a != b and all(x <= y for x, y in zip(a, b, strict=True))

    assert found == {one for one in points if not any(beats(other, one) for other in points)}
    assert len(front(points)) == len(found)


@given(POINTS)
def test_the_hypervolume_counts_the_cells_that_are_beaten(points):
    size = len(points[0])
    cells = np.stack(np.meshgrid(*[np.arange(6)] * size, indexing="ij"), -1).reshape(-1, size)
    beaten = np.array([(cells >= np.array(one)).all(1) for one in points]).any(0)
    assert hypervolume(points, (6.0,) * size) == beaten.sum()


@pytest.mark.parametrize("size", [2, 3])
def test_the_hypervolume_is_that_of_pymoo(size):
    pytest.importorskip("pymoo")
    from pymoo.indicators.hv import HV

    points = np.random.default_rng(0).random((30, size))
    expected = HV(ref_point=np.ones(size))(points)
    assert hypervolume([tuple(row) for row in points], (1.0,) * size) == pytest.approx(expected, rel=1e-9)


def test_a_gain_is_what_is_added():
    assert gains([(0.0, 0.0), (1.0, 1.0), (3.0, 0.0)], [(1.0, 1.0)], (2.0, 2.0)) == [3.0, 0.0, 0.0]

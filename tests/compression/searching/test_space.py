"""Candidates as tuples of numbers and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.compression.searching.space import Choice, Space

CHOICES = st.lists(st.lists(st.integers(), min_size=1, max_size=5, unique=True), min_size=1, max_size=6)
BITS = Space((Choice("bits:conv1", (2, 4, 8)), Choice("bits:fc", (8, 32))))


@st.composite
def coded(draw):
    space = Space(tuple(Choice(f"c{number}", tuple(values)) for number, values in enumerate(draw(CHOICES))))
    return space, tuple(draw(st.integers(0, size - 1)) for size in space.sizes)


@given(coded())
def test_values_and_codes_are_there_and_back(given):
    space, code = given
    assert space.encode(space.decode(code)) == code
    (row,) = space.one_hot([code])
    parts = np.split(row, np.cumsum(space.sizes)[:-1])
    assert tuple(int(part.argmax()) for part in parts) == code
    assert row.sum() == len(space)


@given(coded(), st.integers(0, 2**32 - 1))
def test_what_is_drawn_is_a_candidate(given, seed):
    space, _ = given
    code = space.draw(np.random.default_rng(seed))
    assert space.encode(space.decode(code)) == code
    if space.candidates <= 50:
        every = list(space.every())
        assert code in every
        assert len(set(every)) == space.candidates


def test_two_spaces_are_one():
    joint = BITS + Space((Choice("channels:conv1", (0.5, 1.0)),))
    assert joint.candidates == 12
    assert joint.decode((0, 1, 1)) == {"bits:conv1": 2, "bits:fc": 32, "channels:conv1": 1.0}
    with pytest.raises(ValueError, match="no two of one name"):
        BITS + BITS


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"bits:conv1": 2, "bits:fcc": 8}, "there is no choice bits:fcc; did you mean bits:fc"),
        ({"bits:conv1": 2}, "bits:fc is not chosen"),
        ({"bits:conv1": 3, "bits:fc": 8}, "bits:conv1 can't be 3; allowed: 2, 4, 8"),
    ],
)
def test_what_is_no_candidate_is_told(values, said):
    with pytest.raises(ValueError, match=said):
        BITS.encode(values)

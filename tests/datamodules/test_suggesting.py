"""What data speak for: batches, and a look at a few of many."""

from __future__ import annotations

from itertools import pairwise

import pytest

from blockyard.datamodules.suggesting import batch_for, counted, spread


@pytest.mark.parametrize(("samples", "batch"), [(3, 2), (11, 8), (36, 16), (200, 16), (391, 32), (50_000, 64)])
def test_batches_are_powers_of_two_that_leave_several_steps(samples, batch):
    assert batch_for(samples).value == batch
    assert samples >= batch


def test_a_batch_has_a_bound():
    assert batch_for(50_000, 16).value == 16


def test_a_few_of_many_at_even_distances():
    assert list(spread(range(7), 10)) == list(range(7))
    found = list(spread(range(1001), 10))
    assert len(found) <= 10
    assert {b - a for a, b in pairwise(found)} == {101}


def test_counts_are_told_once_where_they_agree():
    assert counted([3, 3], "sounds") == "3 sounds a class"
    assert counted([3, 1200], "sounds") == "3 to 1,200 sounds a class"

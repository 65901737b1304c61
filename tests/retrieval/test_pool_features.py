"""Vectors of samples with several clips."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from blockyard.retrieval.pool_features import PoolFeatures

OWNER = torch.tensor([0, 0, 1, 3, 3, 3])


def means(batches: list[list[int]], vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    pool = PoolFeatures(OWNER, vectors.shape[1])
    for batch in batches:
        index = torch.tensor(batch, dtype=torch.long)
        pool.update(index, vectors[index])
    return pool.compute()


def test_the_mean_of_its_clips_and_their_number():
    vectors = torch.randn(6, 4)
    found, counts = means([[0, 1, 2], [3, 4, 5]], vectors)
    assert counts.tolist() == [2, 1, 0, 3]
    torch.testing.assert_close(found[0], vectors[:2].mean(0))
    assert torch.equal(found[1], vectors[2])
    torch.testing.assert_close(found[3], vectors[3:].mean(0))


@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
def test_to_the_last_bit_the_same_in_whatever_order_and_batches_clips_come(order, cut):
    vectors = torch.randn(6, 5, generator=torch.Generator().manual_seed(0)) * 1e3
    expected, _ = means([list(range(6))], vectors)
    found, _ = means([order[:cut], order[cut:]], vectors)
    assert torch.equal(found, expected)


def test_a_vector_that_is_no_number_is_reported():
    with pytest.raises(FloatingPointError, match="weights have diverged"):
        means([[0, 1, 2, 3, 4, 5]], torch.full((6, 2), float("nan")))

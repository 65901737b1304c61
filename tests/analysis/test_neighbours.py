"""The vote of the neighbours is that of a loop over them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from blockyard.analysis.neighbours import vote


def looped(queries, gallery, targets, num_classes, k, temperature):
    """Votes ``(Q, K)`` of one neighbour after the other; of equals the first in the gallery is the nearer."""
    shares = []
    for query in queries.double():
        cosines = [float(F.cosine_similarity(query, item, dim=0)) for item in gallery.double()]
        # rounded as finely as float32 features deserve, so that equal vectors tie
        order = sorted(range(len(gallery)), key=lambda i: (-round(cosines[i], 9), i))[:k]
        votes = [0.0] * num_classes
        for i in order:
            votes[int(targets[i])] += math.exp(cosines[i] / temperature)
        shares.append([v / sum(votes) for v in votes])
    return torch.tensor(shares, dtype=torch.float64)


def test_knn_on_one_hot_features_is_right_every_time():
    targets = torch.arange(50) % 10
    features = F.one_hot(targets, 10).float()
    for k in (1, 5):
        shares = vote(features, features, targets, 10, k)
        assert (shares.argmax(1) == targets).all()
        torch.testing.assert_close(shares.max(1).values, torch.ones(50, dtype=torch.float64))


@pytest.mark.parametrize("k", [1, 3, 7, 40])
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_is_a_loop_over_the_neighbours(k, temperature):
    queries, gallery, targets = torch.randn(12, 5), torch.randn(40, 5), torch.randint(0, 4, (40,))
    expected = looped(queries, gallery, targets, 4, k, temperature)
    # cosines are rounded to a grid of 2^-25, which the temperature divides
    torch.testing.assert_close(vote(queries, gallery, targets, 4, k, temperature), expected, rtol=0, atol=1e-5)


def test_of_equally_near_neighbours_the_first_ones_vote():
    gallery = torch.tensor([[1.0, 0.0]]).repeat(6, 1) * torch.arange(1, 7)[:, None]  # one direction, many lengths
    targets = torch.tensor([2, 0, 0, 1, 1, 1])
    query = torch.tensor([[3.0, 1.0]])
    for k, winner in ((1, 2), (2, 0), (3, 0), (6, 1)):
        shares = vote(query, gallery, targets, 3, k)
        torch.testing.assert_close(shares, looped(query, gallery, targets, 3, k, 0.07), rtol=0, atol=1e-6)
        assert shares.argmax(1).item() == winner  # two votes of one each: the lower class


def test_several_labels_get_shares_of_their_own():
    gallery, labels = torch.randn(30, 4), torch.randint(0, 2, (30, 3))
    shares = vote(torch.randn(5, 4), gallery, labels, 3, 30, 1e6)
    # so warm that all votes weigh the same: one minus 2e-6
    torch.testing.assert_close(shares, labels.double().mean(0).expand(5, 3), rtol=0, atol=1e-5)


def test_a_small_temperature_overflows_nothing():
    shares = vote(torch.randn(4, 3), torch.randn(9, 3), torch.arange(9) % 3, 3, 9, 1e-4)
    torch.testing.assert_close(shares.sum(1), torch.ones(4, dtype=torch.float64))


@pytest.mark.parametrize("options", [{"k": 0}, {"k": 10}, {"k": 1, "temperature": 0.0}])
def test_refuses_numbers_out_of_range(options):
    with pytest.raises(ValueError, match="must be 1 to 9"):
        vote(torch.randn(4, 3), torch.randn(9, 3), torch.arange(9) % 3, 3, **options)

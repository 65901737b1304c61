"""Queries and masks, matched as by trying all ways."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from blockyard.heads.oneformer.matching import cross_entropies, dice_costs, match
from blockyard.heads.oneformer.transformer_decoder import Prediction

CLASSES = 3


def costs(prediction: Prediction, labels: Tensor, masks: Tensor) -> Tensor:
    """Of every query and mask ``(Q, n)`` at the same points, which are the next random numbers, by torch's losses."""
    places = 2 * torch.rand(1, 50, 1, 2) - 1
    found = F.grid_sample(prediction.masks[None], places, align_corners=False)[0, :, :, 0]
    sought = F.grid_sample(masks[None], places, align_corners=False)[0, :, :, 0]
    table = torch.zeros(len(found), len(sought))
    for q, logits in enumerate(found):
        for n, mask in enumerate(sought):
            p = logits.sigmoid()
            dice = 1 - (2 * (p * mask).sum() + 1) / (p.sum() + mask.sum() + 1)
            entropy = F.binary_cross_entropy_with_logits(logits, mask)
            table[q, n] = 5 * entropy + 5 * dice - 2 * prediction.classes[q].softmax(0)[labels[n]]
    return table


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 10**6))
def test_no_other_matching_costs_less(queries: int, masks: int, seed: int):
    torch.manual_seed(seed)
    prediction = Prediction(torch.randn(queries, CLASSES + 1), 3 * torch.randn(queries, 4, 6))
    labels, sought = torch.randint(CLASSES, (masks,)), torch.randint(2, (masks, 8, 12)).float()
    torch.manual_seed(seed)
    rows, columns = match(prediction, labels, sought, torch.ones(8, 12), 50)
    torch.manual_seed(seed)
    table = costs(prediction, labels, sought)
    short, long = sorted((queries, masks))
    assert len(rows) == len(columns) == len(set(rows.tolist())) == len(set(columns.tolist())) == short
    wide = table if queries == short else table.T
    best = min(sum(float(wide[i, j]) for i, j in enumerate(way)) for way in permutations(range(long), short))
    assert float(table[rows, columns].sum()) == pytest.approx(best, abs=1e-4)  # sums of single precision


def test_a_diverged_query_is_matched_last():
    masks = torch.randn(3, 4, 4)
    masks[1] = torch.nan
    rows, _ = match(
        Prediction(torch.randn(3, 4), masks), torch.tensor([0, 1]), torch.ones(2, 4, 4), torch.ones(4, 4), 9
    )
    assert rows.tolist() == [0, 2]


def test_what_is_unknown_costs_nothing():
    """A point that does not count changes no cost, whatever stands there."""
    found, sought = torch.randn(2, 6), torch.randint(2, (3, 6)).float()
    counted = torch.tensor([[1.0, 1, 1, 1, 0, 0]])
    for cost in (cross_entropies, dice_costs):
        torch.testing.assert_close(cost(found, sought, counted), cost(found[:, :4], sought[:, :4], counted[:, :4]))

from __future__ import annotations

import dataclasses

import pytest
import torch

from blockyard.retrieval import FeatureDistances, rank


def crowd(spread, copies=1, queries=60, items=700):
    """Few matches among many, each item there some times; as far from each other as float32 tells, or nearer."""
    centre = torch.randn(1, 40)
    gallery = (centre + spread * torch.randn(items, 40)).repeat(copies, 1)
    gallery_ids = torch.arange(1, items + 1).repeat(copies)
    # Some of another camera, some junk.
    gallery_ids[::7], gallery_ids[::11] = torch.arange(len(gallery_ids[::7])) % 300, -1
    features = centre + spread * torch.randn(queries, 40)
    ids = torch.arange(1, queries + 1)
    return [features, gallery, ids, gallery_ids, torch.zeros(queries), torch.randint(3, gallery_ids.shape)]


@pytest.mark.parametrize("copies", [1, 2, 30])
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3, 1e-5, 0.0])
@pytest.mark.parametrize("block_size", [64, 2048])
def test_rough_looks_change_no_bit(copies, spread, block_size, monkeypatch):
    arguments = crowd(spread, copies, items=700 // min(copies, 4))
    looks = []
    rough = FeatureDistances.rough
    monkeypatch.setattr(FeatureDistances, "rough", lambda *given: looks.append(1) or rough(*given))
    found = dataclasses.asdict(rank(*arguments, block_size=block_size))
    assert looks
    monkeypatch.setattr(FeatureDistances, "can_be_rough", lambda self: False)
    expected = dataclasses.asdict(rank(*arguments, block_size=block_size))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0, equal_nan=True, msg=name)


def test_only_what_is_too_close_to_call_is_compared_exactly(monkeypatch):
    compared = []
    of_pairs = FeatureDistances.of_pairs
    monkeypatch.setattr(FeatureDistances, "of_pairs", lambda *given: compared.append(len(given[1])) or of_pairs(*given))
    rank(*crowd(1.0))
    assert 0 < sum(compared) < 60 * 700 / 50

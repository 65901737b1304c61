from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blockyard.retrieval import FeatureDistances, KReciprocal, rank


def by_definition(distances, queries, k1, k2, weight):
    """Re-ranked distances ``(queries, rest)`` from all distances ``(N, N)`` of queries and gallery."""
    n = len(distances)
    distances = distances / distances.max(1, keepdims=True)
    order = np.argsort(distances, axis=1, kind="stable")

    def reciprocal(i, k):
        return {j for j in order[i, : k + 1].tolist() if i in order[j, : k + 1]}

    vectors = np.zeros((n, n))
    for i in range(n):
        near = reciprocal(i, k1)
        grown = set(near)
        for j in near:
            half = reciprocal(j, round(k1 / 2))
            if 3 * len(half & near) > 2 * len(half):
                grown |= half
        for j in grown:
            vectors[i, j] = np.exp(-distances[i, j])
    vectors /= vectors.sum(1, keepdims=True)
    vectors = np.stack([vectors[order[i, :k2]].mean(0) for i in range(n)])
    shared = np.array([[np.minimum(vectors[i], vectors[j]).sum() for j in range(n)] for i in range(queries)])
    jaccard = 1 - shared / (2 - shared)
    return ((1 - weight) * jaccard + weight * distances[:queries])[:, queries:]


def groups(seed, queries, gallery, width=6, identities=5):
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(identities, width, generator=generator)
    ids = [torch.randint(identities, (size,), generator=generator) for size in (queries, gallery)]
    return ids, [centres[side] + torch.randn(len(side), width, generator=generator) for side in ids]


def reranked(queries, gallery, metric, settings, block_size):
    distances = settings.distances(queries, gallery, metric, block_size)
    return distances(torch.arange(len(queries)), torch.arange(len(gallery)))


@given(
    st.integers(0, 10**6),
    st.integers(1, 9),
    st.integers(2, 40),
    st.sampled_from(["cosine", "euclidean"]),
    st.tuples(st.integers(1, 20), st.integers(1, 6), st.sampled_from([0.0, 0.3, 1.0])),
)
@settings(max_examples=30, deadline=None)
@example(0, 1, 2, "cosine", (3, 4, 0.0))  # fewer items than are averaged
def test_equals_the_definition(seed, queries, gallery, metric, options):
    k1, k2, weight = options[0], min(options[1], options[0] + 1), options[2]
    features = groups(seed, queries, gallery)[1]
    items = torch.cat(features)
    everything = torch.arange(len(items))
    distances = FeatureDistances(items, items, metric)(everything, everything).numpy()
    expected = by_definition(distances, queries, k1, k2, weight)
    found = reranked(*features, metric, KReciprocal(k1, k2, weight), block_size=16)
    # Weights are rounded to 2^-40, about 60 of them in a vector.
    np.testing.assert_allclose(found.numpy(), expected, atol=60 * 2**-40, rtol=0)


def test_blocks_do_not_touch_the_last_bit():
    features = groups(0, 10, 30)[1]
    whole = reranked(*features, "cosine", KReciprocal(), 4096)
    for block_size in (1, 13):
        assert torch.equal(whole, reranked(*features, "cosine", KReciprocal(), block_size))


def test_the_settings_of_the_paper_are_the_default():
    assert KReciprocal() == KReciprocal(k1=20, k2=6, weight=0.3)


@pytest.mark.parametrize("options", [{"k1": 0}, {"k2": 0}, {"k1": 4, "k2": 6}, {"weight": 1.1}])
def test_settings_without_a_meaning_are_refused(options):
    with pytest.raises(ValueError, match="re-ranking needs"):
        KReciprocal(**options)


@pytest.mark.parametrize("block_size", [10, 4096])
def test_a_ranking_uses_the_reranked_distances_of_a_gallery_without_junk(block_size):
    ids, (queries, gallery) = groups(3, 10, 60)
    cameras = torch.zeros(10, dtype=torch.long), torch.arange(60) % 2
    ids[1][::7] = -1
    ids[1][3] = 99
    kept = ids[1] != -1
    distances = reranked(queries, gallery[kept], "cosine", KReciprocal(6, 3), block_size).numpy()
    expected = []
    for row, identity in zip(distances, ids[0], strict=True):
        order = row.argsort(kind="stable")
        match = (ids[1][kept] == identity).numpy()
        own = match & (cameras[1][kept] == 0).numpy()
        ranks = np.flatnonzero(match[order[~own[order]]]) + 1
        expected.append(np.mean(np.arange(1, len(ranks) + 1) / ranks))
    found = rank(queries, gallery, *ids, *cameras, rerank=KReciprocal(6, 3), block_size=block_size)
    assert found.average_precision.tolist() == pytest.approx(expected, abs=1e-14)
    assert not torch.isin(found.top, torch.arange(60)[~kept]).any()


def test_it_finds_more_than_plain_distances_where_identities_are_chains():
    """Neighbours of neighbours lead along a chain whose ends are nearer to another chain than to each other."""
    steps = torch.linspace(0, 6, 40)
    chains = [torch.stack([steps, torch.full_like(steps, height)], 1) for height in (0.0, 1.5, 3.0)]
    ids = torch.arange(3).repeat_interleave(40)
    items = torch.cat(chains) + 0.02 * torch.randn(120, 2)
    cameras = torch.arange(120) % 2
    is_query = torch.arange(120) % 10 == 0
    arguments = [x[chosen] for x in (items, ids, cameras) for chosen in (is_query, ~is_query)]
    plain = rank(*arguments, metric="euclidean")
    better = rank(*arguments, metric="euclidean", rerank=KReciprocal())
    assert better.mAP > plain.mAP

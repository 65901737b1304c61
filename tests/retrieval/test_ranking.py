from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from blockyard.retrieval import FeatureDistances, Ranking, rank


def kept_lists(distances, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Per query the gallery positions that are left, from near to far, and which of them match."""
    for row, identity, camera in zip(distances, query_ids, query_cameras, strict=True):
        removed = (gallery_ids == -1) | ((gallery_ids == identity) & (gallery_cameras == camera))
        order = np.argsort(row, kind="stable")
        order = order[~removed[order]]
        yield order, gallery_ids[order] == identity


def average_precision(matches):
    ranks = np.flatnonzero(matches) + 1
    return np.mean([hits / rank for hits, rank in enumerate(ranks, 1)])


def trapezoid(matches):
    """Walks down the list as the published MATLAB code does."""
    area, recall, precision, hits = 0.0, 0.0, 1.0, 0
    for position, match in enumerate(matches, 1):
        hits += bool(match)
        new_recall, new_precision = hits / matches.sum(), hits / position
        area += (new_recall - recall) * (new_precision + precision) / 2
        recall, precision = new_recall, new_precision
    return area


def listing(kept, interpolation="none"):
    """A ranking of one query with a gallery whose n-th nearest item is a match if kept[n] is 1."""
    gallery = torch.arange(1.0, 1 + len(kept))[:, None]
    identities = torch.tensor([7 if match else 8 for match in kept])
    query = torch.zeros(1, 1), torch.tensor([7]), torch.tensor([0])
    cameras = torch.ones(len(kept), dtype=torch.long)
    return rank(
        query[0], gallery, query[1], identities, query[2], cameras, metric="euclidean", interpolation=interpolation
    )


@pytest.mark.parametrize(
    ("kept", "precision", "trapezoid"),
    [([0, 1, 0, 1], 0.5, 1 / 3), ([1, 1, 0], 1, 1), ([0, 0, 1], 1 / 3, 1 / 6), ([1], 1, 1)],
)
def test_average_precision_of_a_list(kept, precision, trapezoid):
    # A few roundings of float64.
    assert listing(kept).mAP == pytest.approx(precision, abs=1e-15)
    assert listing(kept, "trapezoid").mAP == pytest.approx(trapezoid, abs=1e-15)


def test_first_and_last_match_of_a_list():
    ranking = listing([0, 1, 0, 1])
    assert [ranking.cmc(k) for k in (1, 2, 3, 4, 50)] == [0, 1, 1, 1, 1]
    assert ranking.first_match.tolist() == [2]
    assert ranking.mINP == 0.5
    assert ranking.top.tolist() == [[0, 1, 2, 3]]


def scene():
    """One query at 0 of identity 1, camera 0; the gallery from near to far: own camera, junk, distractor, match."""
    gallery = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]])
    ids, cameras = torch.tensor([1, -1, 0, 1, 2]), torch.tensor([0, 1, 1, 1, 0])
    return [torch.zeros(1, 1), gallery, torch.tensor([1]), ids, torch.tensor([0]), cameras]


def test_own_camera_and_junk_are_removed_and_distractors_stay():
    ranking = rank(*scene(), metric="euclidean")
    assert ranking.first_match.tolist() == [2]
    assert ranking.top.tolist() == [[2, 3, 4, -1]], "other identities stay, whichever camera saw them"


def test_ties_are_broken_by_position():
    everywhere = torch.ones(5, 1)
    ids, cameras = torch.tensor([2, 1, 2, 1, 2]), torch.ones(5, dtype=torch.long)
    ranking = rank(torch.ones(1, 1), everywhere, torch.tensor([1]), ids, torch.tensor([0]), cameras, block_size=2)
    assert ranking.first_match.tolist() == [2]
    assert ranking.mINP == 2 / 4
    assert ranking.top.tolist() == [[0, 1, 2, 3, 4]]


def test_queries_without_a_match_are_left_out_of_the_means():
    queries, gallery, _, gallery_ids, cameras, gallery_cameras = scene()
    twice = [
        torch.cat([queries] * 3),
        gallery,
        torch.tensor([1, 9, 2]),
        gallery_ids,
        cameras.repeat(3),
        gallery_cameras,
    ]
    ranking = rank(*twice, metric="euclidean")
    assert ranking.valid.tolist() == [True, False, False]
    assert (ranking.mAP, ranking.mINP, ranking.cmc(2)) == (0.5, 0.5, 1)
    assert ranking.average_precision.isnan().tolist() == [False, True, True]
    assert (ranking.top[1] >= 0).all(), "they are still ranked for the picture"


def test_a_single_camera_leaves_nothing_to_rank():
    arguments = scene()
    arguments[5] = torch.zeros(5, dtype=torch.long)
    with pytest.raises(ValueError, match="no query has a match"):
        rank(*arguments)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({0: torch.zeros(1, 2)}, r"must be \(Q, D\) and \(G, D\)"),
        ({0: torch.full((1, 1), torch.nan)}, "must be finite"),
        ({1: torch.full((5, 1), 1e200, dtype=torch.float64)}, "must be finite"),
        ({3: torch.zeros(4)}, "gallery: 5 features"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = [change.get(number, argument) for number, argument in enumerate(scene())]
    with pytest.raises(ValueError, match=message):
        rank(*arguments)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="did you mean cosine"):
        rank(*scene(), metric="cosin")
    with pytest.raises(ValueError, match="unknown interpolation"):
        rank(*scene(), interpolation="linear")


@st.composite
def evaluations(draw):
    """Few identities, cameras and levels of the features: ties, junk, own cameras and lonely queries abound."""
    sizes = draw(st.integers(1, 8)), draw(st.integers(1, 30))
    width, levels = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    features = [random.integers(-levels, levels, (size, width), endpoint=True) for size in sizes]
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    identities = [random.integers(low, 5, size) for low, size in zip((1, -1), sizes, strict=True)]
    cameras = [random.integers(0, draw(st.integers(1, 3)), size) for size in sizes]
    # At least one query has a match.
    identities[1][0], cameras[1][0] = identities[0][0], cameras[0][0] + 1
    tensors = [torch.from_numpy(array).to(dtype) for array in features]
    return [*tensors, *map(torch.from_numpy, (*identities, *cameras))]


def identical(one, other):
    """Whether all fields agree to the last bit."""
    one, other = dataclasses.asdict(one), dataclasses.asdict(other)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=0, equal_nan=True, msg=name)


@given(evaluations(), st.sampled_from(["cosine", "euclidean"]), st.integers(1, 31))
@settings(max_examples=100, deadline=None)
def test_equals_the_definition_whatever_the_block(arguments, metric, block_size):
    ranking = rank(*arguments, metric=metric, top=5, block_size=block_size)
    trapezoids = rank(*arguments, metric=metric, interpolation="trapezoid", block_size=block_size)
    everything = [torch.arange(len(side)) for side in arguments[:2]]
    distances = FeatureDistances(*arguments[:2], metric)(*everything).numpy()
    kept = list(kept_lists(distances, *(label.numpy() for label in arguments[2:])))
    for query, (order, matches) in enumerate(kept):
        assert ranking.valid[query] == matches.any()
        top = order[:5].tolist()
        assert ranking.top[query].tolist() == top + [-1] * (ranking.top.shape[1] - len(top))
        if matches.any():
            places = np.flatnonzero(matches) + 1
            assert ranking.first_match[query] == places[0]
            assert ranking.inverse_negative_penalty[query] == len(places) / places[-1]
            # The orders of adding differ.
            assert ranking.average_precision[query] == pytest.approx(average_precision(matches), abs=1e-14)
            assert trapezoids.average_precision[query] == pytest.approx(trapezoid(matches), abs=1e-14)


def crowd(queries=20, gallery=40, width=33, identities=12):
    """Real-valued features, every gallery item twice so that real values tie as well."""
    centres = torch.randn(identities, width)
    ids = torch.randint(identities, (queries,)), torch.randint(identities, (gallery,)).repeat(2)
    twice = torch.randn(gallery, width).repeat(2, 1)
    features = centres[ids[0]] + torch.randn(queries, width), centres[ids[1]] + twice
    cameras = torch.randint(3, (queries,)), torch.randint(3, (gallery,)).repeat(2)
    return [*features, *ids, *cameras]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_blocks_do_not_touch_the_last_bit(metric):
    arguments = crowd()
    whole = rank(*arguments, metric=metric)
    for block_size in (1, 7, 79):
        identical(whole, rank(*arguments, metric=metric, block_size=block_size))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_the_order_of_queries_does_not_matter(metric):
    arguments = crowd()
    order = torch.randperm(20)
    shuffled = [argument[order] if len(argument) == 20 else argument for argument in arguments]
    expected = rank(*arguments, metric=metric)
    expected = {name: value[order] for name, value in dataclasses.asdict(expected).items()}
    identical(Ranking(**expected), rank(*shuffled, metric=metric, block_size=16))


def test_the_order_of_a_gallery_without_ties_does_not_matter():
    arguments = [argument[:40] for argument in crowd()]
    order = torch.randperm(40)
    shuffled = [argument if len(argument) == 20 else argument[order] for argument in arguments]
    expected, found = rank(*arguments, top=10), rank(*shuffled, top=10, block_size=16)
    identical(expected, dataclasses.replace(found, top=order[found.top]))


def test_equals_torchreid():
    torchreid = pytest.importorskip("torchreid.reid.metrics.rank")
    for seed in range(20):
        torch.manual_seed(seed)
        arguments = [argument.round() for argument in crowd(gallery=40, width=4)]
        everything = [torch.arange(len(side)) for side in arguments[:2]]
        distances = FeatureDistances(*arguments[:2], "euclidean")(*everything)
        # It sorts unstably: places of a stable sort stand in for distances.
        places = distances.argsort(dim=1, stable=True).argsort(dim=1)
        labels = [label.numpy() for label in arguments[2:]]
        cmc, mean = torchreid.evaluate_rank(places.numpy(), *labels, max_rank=20, use_cython=False)
        ranking = rank(*arguments, metric="euclidean", block_size=32)
        assert ranking.mAP == pytest.approx(mean, abs=1e-14)
        # Its curve is float32.
        assert [ranking.cmc(k) for k in range(1, 21)] == pytest.approx(cmc.tolist(), abs=1e-6)

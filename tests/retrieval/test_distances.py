from __future__ import annotations

import pytest
import torch

from blockyard.retrieval import FeatureDistances, nearest


def all_distances(queries, gallery, metric):
    return FeatureDistances(queries, gallery, metric)(torch.arange(len(queries)), torch.arange(len(gallery)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_distance_is_a_function_of_the_pair_alone(metric, dtype):
    queries, gallery = torch.randn(37, 500).to(dtype), torch.randn(53, 500).to(dtype)
    gallery[52] = gallery[0]
    whole = all_distances(queries, gallery, metric)
    assert torch.equal(whole[:, 52], whole[:, 0])
    for row, column in ((0, 0), (5, 17), (36, 52)):
        assert torch.equal(whole[row, column], all_distances(queries[row, None], gallery[column, None], metric)[0, 0])
    order = torch.randperm(500)
    assert torch.equal(whole, all_distances(queries[:, order], gallery[:, order], metric)), "sums in any order"


def test_values_are_those_of_the_formulas():
    queries, gallery = torch.randn(8, 300, dtype=torch.float64), 1e3 * torch.randn(9, 300, dtype=torch.float64)
    cosine = torch.nn.functional.cosine_similarity(queries[:, None], gallery[None], dim=2)
    # Each of two rounded features of length 1 is off by less than 2^-26 · √300 in length.
    tolerance = 2 * 2**-26 * 300**0.5
    torch.testing.assert_close(all_distances(queries, gallery, "cosine"), 1 - cosine, rtol=0, atol=tolerance)
    squares = torch.cdist(queries, gallery).square()
    torch.testing.assert_close(all_distances(queries, gallery, "euclidean"), squares, rtol=4 * tolerance, atol=0)


def test_zero_has_no_direction_and_is_equally_far_from_all():
    assert all_distances(torch.zeros(1, 3), torch.randn(4, 3), "cosine").tolist() == [[1, 1, 1, 1]]


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block_size", [1, 9, 1000])
def test_the_nearest_are_the_first_of_a_stable_sort(metric, block_size):
    queries, gallery = torch.randint(-2, 3, (20, 3)).float(), torch.randint(-2, 3, (70, 3)).float()
    expected = all_distances(queries, gallery, metric).sort(dim=1, stable=True)
    positions, distances = nearest(queries, gallery, 6, metric=metric, block_size=block_size)
    assert torch.equal(positions, expected.indices[:, :6])
    values = expected.values[:, :6].clamp_min(0)
    assert torch.equal(distances, values.sqrt() if metric == "euclidean" else values)


def test_there_are_no_more_nearest_than_the_gallery_has():
    positions, distances = nearest(torch.randn(2, 5), torch.randn(3, 5))
    assert positions.sort().values.tolist() == [[0, 1, 2], [0, 1, 2]]
    assert distances.isfinite().all()


def test_nothing_to_compare_is_refused():
    with pytest.raises(ValueError, match="2 queries and a gallery of 0"):
        nearest(torch.randn(2, 5), torch.randn(0, 5))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("width", [3, 256, 700])
def test_rough_distances_are_off_by_less_than_they_say(dtype, width):
    sizes = 10.0 ** torch.linspace(-4, 4, 30)[:, None]
    queries, gallery = (torch.randn(20, width)).to(dtype), (torch.randn(30, width) * sizes).to(dtype)
    # One channel holds nearly all: roundings add up in one direction; and one has no direction at all.
    queries[0, 1:], gallery[1] = 1e-3, 0
    distances, rows, columns = FeatureDistances(queries, gallery), torch.arange(20), torch.arange(30)
    exact = distances(rows, columns)
    error = (distances.rough(distances.directions(rows), columns) - exact).abs().max()
    assert error < distances.margin < 1e-4
    row, column = torch.randint(20, (50,)).sort().values, torch.randint(30, (50,))
    assert torch.equal(distances.of_pairs(row, column), exact[row, column]), "to the last bit"


def test_features_that_float32_can_not_scale_keep_their_directions():
    tiny = torch.tensor([[3e-40, 4e-40], [3e30, 4e30]])
    distances = FeatureDistances(torch.tensor([[0.6, 0.8]]), tiny)
    rough = distances.rough(distances.directions(torch.arange(1)), torch.arange(2))
    torch.testing.assert_close(rough, torch.zeros(1, 2), rtol=0, atol=distances.margin)


def test_products_of_fewer_bits_are_not_trusted():
    distances = FeatureDistances(torch.randn(2, 5), torch.randn(3, 5))
    assert distances.can_be_rough()
    with torch.autocast("cpu", torch.bfloat16):
        assert not distances.can_be_rough()
    assert not FeatureDistances(torch.randn(2, 5), torch.randn(3, 5), "euclidean").can_be_rough()

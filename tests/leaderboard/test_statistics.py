"""Means, intervals and paired differences agree with SciPy."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from blockyard.leaderboard.statistics import estimate, paired_difference, t_cdf, t_quantile

# as accuracies are: so many of 1,000 test samples
scores = st.integers(0, 1000).map(lambda right: right / 1000)
# both sides are a few hundred float64 operations; the difference seen is 4e-14
CLOSE = {"rel": 1e-11, "abs": 1e-12}


@given(st.integers(1, 300), st.floats(1e-3, 1 - 1e-3))
def test_quantiles_of_student_t(degrees, p):
    assert t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), **CLOSE)


@given(st.integers(1, 300), st.floats(-50, 50))
def test_distribution_of_student_t(degrees, t):
    assert t_cdf(t, degrees) == pytest.approx(stats.t.cdf(t, degrees), **CLOSE)


def test_published_quantiles():
    table = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}
    assert {degrees: round(t_quantile(0.975, degrees), 3) for degrees in table} == table


@given(st.lists(scores, min_size=2, max_size=30), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_of_a_mean(values, level):
    found = estimate(values, level)
    low, high = stats.t.interval(level, len(values) - 1, loc=math.fsum(values) / len(values), scale=stats.sem(values))
    assert found.n == len(values)
    if len(set(values)) > 1:
        assert found.mean - found.half_width == pytest.approx(low, abs=1e-12)
        assert found.mean + found.half_width == pytest.approx(high, abs=1e-12)
    else:
        assert found.half_width == pytest.approx(0, abs=1e-12)


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=20))
def test_a_difference_is_paired_by_seed(pairs):
    row = {seed: a for seed, (a, _) in enumerate(pairs)}
    baseline = {seed: b for seed, (_, b) in reversed(list(enumerate(pairs)))}
    found = paired_difference(row, baseline)
    differences = [a - b for a, b in pairs]
    assert found.mean == pytest.approx(math.fsum(differences) / len(pairs), abs=1e-15)
    if stats.tstd(differences) > 1e-9:
        interval = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
        assert found.mean + found.half_width == pytest.approx(interval.high, abs=1e-10)


def test_pairing_takes_out_what_the_seeds_share():
    baseline = {0: 0.60, 1: 0.70, 2: 0.80}
    row = {seed: score + 0.01 for seed, score in baseline.items()}
    assert paired_difference(row, baseline).half_width == pytest.approx(0, abs=1e-12)
    assert estimate(list(row.values())).half_width > 0.2


def test_only_common_seeds_are_compared():
    found = paired_difference({0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.6, 2: 0.7, 3: 0.0})
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)


def test_without_a_common_seed_there_is_no_difference():
    assert paired_difference({0: 0.5}, {1: 0.5}) is None
    assert paired_difference({0: 0.5}, {}) is None


def test_a_single_value_has_no_interval():
    assert estimate([0.5]).half_width is None


def test_fewer_than_three_seeds_are_marked():
    assert [estimate([0.5] * n).few for n in (1, 2, 3, 4)] == [True, True, False, False]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])
    with pytest.raises(ValueError, match="0 < p < 1"):
        t_quantile(1.0, 3)
    with pytest.raises(ValueError, match="degree of freedom, got 0"):
        t_quantile(0.9, 0)

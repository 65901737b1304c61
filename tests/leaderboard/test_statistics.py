"""Means, intervals and paired differences agree with SciPy."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from blockyard.leaderboard.matrix import verdict
from blockyard.leaderboard.statistics import (
    estimate,
    holm,
    paired_difference,
    paired_p_value,
    t_cdf,
    t_quantile,
)

# as accuracies are: so many of 1,000 test samples
scores = st.integers(0, 1000).map(lambda right: right / 1000)
# the quantiles of SciPy before 1.17 are off by 4e-11 of their size: that for p = 1/4 and one degree of freedom, which
# is -1, is -1.0000000000134 there
CLOSE = {"rel": 1e-10, "abs": 1e-10}


@given(st.integers(1, 300), st.floats(1e-3, 1 - 1e-3))
def test_quantiles_of_student_t(degrees, p):
    assert t_quantile(p, degrees) == pytest.approx(stats.t.ppf(p, degrees), **CLOSE)


@given(st.integers(1, 300), st.floats(-50, 50))
@example(1, 4e-7)
def test_distribution_of_student_t(degrees, t):
    # near 0, SciPy's is off by 2e-11 for one degree of freedom, where the arc tangent is exact
    expected = 0.5 + math.atan(t) / math.pi if degrees == 1 else stats.t.cdf(t, degrees)
    assert t_cdf(t, degrees) == pytest.approx(expected, rel=1e-11, abs=1e-10)


def test_published_quantiles():
    table = {1: 12.706, 2: 4.303, 4: 2.776, 9: 2.262, 29: 2.045}
    assert {degrees: round(t_quantile(0.975, degrees), 3) for degrees in table} == table


@given(st.lists(scores, min_size=2, max_size=30), st.sampled_from([0.9, 0.95, 0.99]))
def test_the_interval_of_a_mean(values, level):
    found = estimate(values, level)
    low, high = stats.t.interval(level, len(values) - 1, loc=math.fsum(values) / len(values), scale=stats.sem(values))
    assert found.n == len(values)
    if len(set(values)) > 1:
        assert found.mean - found.half_width == pytest.approx(low, **CLOSE)
        assert found.mean + found.half_width == pytest.approx(high, **CLOSE)
    else:
        assert found.half_width is None


@given(st.lists(st.tuples(scores, scores), min_size=2, max_size=20))
def test_a_difference_is_paired_by_seed(pairs):
    row = {seed: a for seed, (a, _) in enumerate(pairs)}
    baseline = {seed: b for seed, (_, b) in reversed(list(enumerate(pairs)))}
    found = paired_difference(row, baseline)
    differences = [a - b for a, b in pairs]
    assert found.mean == pytest.approx(math.fsum(differences) / len(pairs), abs=1e-15)
    if stats.tstd(differences) > 1e-9:
        interval = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
        assert found.mean + found.half_width == pytest.approx(interval.high, **CLOSE)


def test_pairing_takes_out_what_the_seeds_share():
    baseline = {0: 0.60, 1: 0.70, 2: 0.80}
    row = {seed: score + 0.01 for seed, score in baseline.items()}
    row[0] += 1e-4
    assert 0 < paired_difference(row, baseline).half_width < 2e-4
    assert estimate(list(row.values())).half_width > 0.2


def test_only_common_seeds_are_compared():
    found = paired_difference({0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.6, 2: 0.7, 3: 0.0})
    assert found.n == 2
    assert found.mean == pytest.approx(0.15)


def test_without_a_common_seed_there_is_no_difference():
    assert paired_difference({0: 0.5}, {1: 0.5}) is None
    assert paired_difference({0: 0.5}, {}) is None


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("gain", [0.0, 0.01, -0.3, 1e-6])
def test_without_spread_there_is_no_interval_no_p_and_no_verdict(n, gain):
    """One rule for all three: the differences are equal but for the rounding of scores about one."""
    baseline = {seed: 0.1 * seed + 1 / 3 for seed in range(n)}
    row = {seed: score + gain for seed, score in baseline.items()}
    found = paired_difference(row, baseline)
    assert (found.n, found.half_width) == (n, None)
    assert found.mean == pytest.approx(gain, abs=1e-15)
    assert paired_p_value(row, baseline) is None
    assert verdict(found, higher_is_better=True) == "unclear"


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("value", [0.0, 0.97, -2.5, 1e6])
def test_equal_scores_have_a_mean_and_no_interval(n, value):
    found = estimate([value] * n)
    assert (found.half_width, found.n) == (None, n)
    assert found.mean == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize("differences", [(0.01,) * 4 + (0.0100001,), (0.01, 0.02, 0.03, 0.04, 0.05), (0.1, -0.1) * 3])
def test_page_and_text_judge_one_comparison_alike(differences):
    """An interval at level 0.95 leaves out 0 where the uncorrected p is below 0.05: both, or neither."""
    row, baseline = dict(enumerate(0.5 + d for d in differences)), dict.fromkeys(range(len(differences)), 0.5)
    clear = verdict(paired_difference(row, baseline), higher_is_better=True) != "unclear"
    assert clear == (paired_p_value(row, baseline) < 0.05)


def test_fewer_than_three_seeds_are_marked():
    assert [estimate([0.5] * n).few for n in (1, 2, 3, 4)] == [True, True, False, False]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least one value"):
        estimate([])
    with pytest.raises(ValueError, match="0 < p < 1"):
        t_quantile(1.0, 3)
    with pytest.raises(ValueError, match="degree of freedom, got 0"):
        t_quantile(0.9, 0)


@given(st.lists(st.tuples(scores, scores), min_size=5, max_size=20))
def test_significance_is_that_of_the_paired_t_test(pairs):
    row, baseline = ({seed: pair[side] for seed, pair in enumerate(pairs)} for side in (0, 1))
    found = paired_p_value(row, baseline)
    if stats.tstd([a - b for a, b in pairs]) < 1e-9:
        assert found is None
    else:
        assert found == pytest.approx(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue, rel=1e-6, abs=1e-12)


def test_below_five_pairs_there_is_no_significance():
    row = {seed: 0.9 + 0.001 * seed for seed in range(5)}
    assert paired_p_value(row, dict.fromkeys(range(4), 0.5)) is None
    assert paired_p_value(row, dict.fromkeys(range(5), 0.5)) < 1e-6


def test_holm_by_hand():
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1 is 0.02, 0.03, 0.06, 0.04; none may be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from([0.01, 0.05, 0.2]))
def test_holm_rejects_what_its_steps_reject(p_values, level):
    """Step down from the smallest p: compare with level / m, level / (m - 1), … and stop at the first that is above."""
    rejected = set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - rank) > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(p_values)) if p <= level} == rejected


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_one_test_and_bonferroni(p_values):
    bonferroni = [min(1, p * len(p_values)) for p in p_values]
    assert all(p <= q <= b for p, q, b in zip(p_values, holm(p_values), bonferroni, strict=True))

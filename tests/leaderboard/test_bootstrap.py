"""Intervals over test items agree with SciPy's bootstrap, and are left out where the scores do not bear them."""

import re
from itertools import product

import numpy as np
import pytest
from scipy import stats

from blockyard.leaderboard.bootstrap import StoredScores, bootstrap_difference, bootstrap_mean, item_interval
from blockyard.leaderboard.columns import MISSING
from blockyard.leaderboard.render import cells
from blockyard.leaderboard.scores import write_scores
from blockyard.leaderboard.tables import tables


def seeds(values):
    return dict(enumerate(values))


def right_or_wrong(random, seeds, items, chance):
    return (random.random((seeds, items)) < chance).astype(np.uint8)


@pytest.fixture
def runs(make_record, tmp_path):
    """``runs(vectors, block=None, name="top1", metric=None)``: a record a vector, with its scores beside it."""

    def make(vectors, block=None, name="top1", metric=None):
        made = []
        for seed, vector in enumerate(vectors):
            score = float(np.mean(vector)) if metric is None else metric
            file, digest = write_scores({"loss": np.ones(len(vector)), name: vector}, tmp_path, f"{block}{seed}")
            made.append(make_record(score, seed, block, scores=file, scores_sha256=digest))
        return made

    return make


@pytest.mark.parametrize("kind", ["right or wrong", "continuous"])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_it_is_the_percentile_bootstrap(kind, level):
    random = np.random.default_rng(3)
    if kind == "continuous":
        ours, theirs = random.beta(3, 1, (3, 400)), random.beta(2.5, 1, (3, 400))
    else:
        ours, theirs = right_or_wrong(random, 3, 400, 0.8), right_or_wrong(random, 3, 400, 0.75)
    found = bootstrap_difference(seeds(ours), seeds(theirs), level, resamples=20_000)
    differences = ours.astype(float).mean(0) - theirs.mean(0)
    expected = stats.bootstrap(
        (differences,), np.mean, n_resamples=20_000, confidence_level=level, method="percentile", rng=1
    ).confidence_interval
    # an end of a 95 % interval from 20,000 resamples has a standard error of 0.02 standard errors of the mean
    # both sides vary; and means of 3 · 400 right or wrong items lie 1 / 1,200 apart
    close = 5 * 0.02 * np.sqrt(2) * stats.sem(differences) + 1 / 1200
    assert found.low == pytest.approx(expected.low, abs=close)
    assert found.high == pytest.approx(expected.high, abs=close)


def test_it_is_the_same_every_time_and_in_any_order_of_items():
    random = np.random.default_rng(0)
    ours, theirs = random.random((2, 2, 500))
    order = random.permutation(500)
    once = bootstrap_difference(seeds(ours), seeds(theirs))
    assert bootstrap_difference(seeds(ours), seeds(theirs)) == once
    assert bootstrap_difference(seeds(ours[:, order]), seeds(theirs[:, order])) == once


def test_pairing_takes_out_what_the_items_share():
    hard = np.random.default_rng(0).random(1000)
    gain = 0.01 + 0.001 * np.sign(np.arange(1000) - 500)
    found = bootstrap_difference({0: hard + gain}, {0: hard})
    assert 0.0098 < found.low < 0.01 < found.high < 0.0102  # a standard error of 0.001 / √1000; hard's own is 0.009


def test_only_common_seeds_count():
    ones, zeros, half = np.ones(50), np.zeros(50), np.arange(50) < 25
    found = bootstrap_difference({0: ones, 1: half}, {1: zeros, 2: ones})
    assert found == bootstrap_difference({1: half}, {1: zeros})
    assert bootstrap_difference({0: ones}, {1: zeros}) is None


@pytest.mark.parametrize("items", [1, 2, 5])
def test_right_or_wrong_is_exact(items):
    """All n^n resamples of a few items, enumerated."""
    random = np.random.default_rng(items)
    ours, theirs = right_or_wrong(random, 2, items, 0.7), right_or_wrong(random, 2, items, 0.4)
    differences = (ours.astype(float) - theirs).mean(0)
    means = np.array([differences[list(drawn)].mean() for drawn in product(range(items), repeat=items)])
    found = bootstrap_difference(seeds(ours), seeds(theirs), 0.9)
    low, high = np.quantile(means, [0.05, 0.95], method="inverted_cdf")
    if np.ptp(differences) == 0:
        assert found is None
    else:
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)


@pytest.mark.parametrize("items", [1, 2, 100])
@pytest.mark.parametrize("gain", [0, 0.3])
def test_items_that_all_differ_alike_have_no_interval(items, gain):
    """Resamples of them would all be the same, and bound nothing."""
    same = np.random.default_rng(0).random((3, items))
    assert bootstrap_difference(seeds(same + gain), seeds(same)) is None
    assert bootstrap_mean(np.full(items, gain)) is None


def test_an_interval_of_no_width_is_a_note(runs, tmp_path):
    ours, theirs = runs(np.ones((1, 40)), "Nonlocal"), runs(np.zeros((1, 40)))
    (table,) = tables(ours + theirs, [tmp_path])
    assert [row.items for row in table.rows] == [None, None]
    assert any("all test items differ alike from the baseline" in note for note in table.notes)


def test_whole_numbers_far_apart_are_drawn_like_any_others():
    huge = np.zeros(1000, np.int64)
    huge[:500] = 2**40
    found = bootstrap_difference({0: huge}, {0: np.zeros(1000, np.uint8)})
    # 500 of 1,000 right or wrong: standard error √(0.25 / 1000) = 0.0158
    assert (found.low / 2**40, found.high / 2**40) == pytest.approx((0.469, 0.531), abs=0.008)


def test_many_items_fit_into_memory_and_stay_items():
    """More items than are drawn at once."""
    values = np.arange(1_200_000) / 1_200_000
    found = bootstrap_difference({0: values}, {0: np.zeros_like(values)}, resamples=20)
    # standard error of the mean of a uniform variable: 1 / √(12 n) = 0.00026
    assert 0.4985 < found.low < 0.5 < found.high < 0.5015


def test_scores_are_read_from_beside_the_records(runs, tmp_path):
    random = np.random.default_rng(0)
    ours, theirs = right_or_wrong(random, 2, 300, 0.9), right_or_wrong(random, 2, 300, 0.6)
    found = item_interval(runs(ours, "Nonlocal"), runs(theirs), StoredScores([tmp_path / "elsewhere", tmp_path]))
    assert found == bootstrap_difference(seeds(ours), seeds(theirs))
    assert found.low > 0


def test_the_score_may_have_another_name_than_its_mean(runs, tmp_path):
    random = np.random.default_rng(0)
    ours, theirs = (
        runs(random.random((1, 40)).astype(np.float32), block, "average_precision") for block in ("A", None)
    )
    assert item_interval(ours, theirs, StoredScores([tmp_path])) is not None


def test_a_metric_that_is_no_mean_of_items_has_no_interval(runs, tmp_path):
    """The mIoU of a data set is not the mean of its pictures' mIoU."""
    ours, theirs = (runs(np.full((1, 40), value), block, metric=0.75) for value, block in ((0.75, "A"), (0.7, None)))
    with pytest.raises(ValueError, match=r"^top1 is not the mean of a stored score$"):
        item_interval(ours, theirs, StoredScores([tmp_path]))


@pytest.mark.parametrize("damage", ["missing", "another", "shorter", "none"])
def test_without_trustworthy_scores_there_is_no_interval_but_a_note(damage, runs, make_record, tmp_path):
    ours, theirs = runs(np.ones((3, 40)), "Nonlocal"), runs(np.zeros((3, 40)))
    if damage == "none":
        ours[1] = make_record(1.0, 1, "Nonlocal")
    elif damage == "shorter":
        ours[1] = runs(np.ones((2, 39)), "Nonlocal")[1]
    elif damage == "missing":
        (tmp_path / ours[1].scores).unlink()
    else:
        (tmp_path / ours[1].scores).write_bytes(b"PK")
    (table,) = tables(ours + theirs, [tmp_path])
    assert [row.items for row in table.rows] == [None, None]
    (note,) = (note for note in table.notes if "test items" in note and "No interval" in note)
    reason = {
        "missing": r"\.npz: no such file beside the records\.",
        "another": "its digest is not the one in the record",
        "shorter": "tested on different numbers of items",
        "none": "has no scores on record",
    }[damage]
    assert note.startswith("No interval over test items for Nonlocal @ stage2.1: ")
    assert re.search(reason, note)
    assert "Over test items" not in cells(table)[0]


def test_tables_show_the_interval_where_there_is_one(runs, make_record, tmp_path):
    alone = make_record(0.4, 0, "GlobalContext")
    half = np.tile([0, 1], (3, 20))
    (table,) = tables([*runs(half, "Nonlocal"), *runs(np.zeros((3, 40))), alone], [tmp_path])
    header, *rows = cells(table)
    column = header.index("Over test items")
    assert [row[column] for row in rows] == [MISSING, "+35.00 … +65.00", MISSING]  # of a binomial of 40 halves
    assert any(note.startswith("Over test items: 95 % interval") for note in table.notes)
    assert "for GlobalContext @ stage2.1: run" in "\n".join(table.notes)


def test_the_interval_of_one_runs_accuracy_is_that_of_a_binomial():
    right = np.zeros(200, dtype=np.uint8)
    right[:150] = 1
    interval = bootstrap_mean(right)
    assert [interval.low, interval.high] == [stats.binom.ppf(tail, 200, 0.75) / 200 for tail in (0.025, 0.975)]

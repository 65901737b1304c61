"""Nobody is in two splits, and who is in which depends on the seed alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blockyard.datamodules.signals.subjects import SPLITS, draw_subjects, leave_one_out
from blockyard.mistakes import DataError

WHO = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40)


def of(rows, subjects):
    return {name: {subjects[row] for row in rows[name]} for name in SPLITS}


@given(WHO, st.integers(0, 99), st.floats(0.05, 0.4), st.floats(0, 0.4))
def test_subjects_are_drawn_whole(subjects, seed, test, val):
    order = sorted(set(subjects))
    shares = {"test": test, "val": val}
    counts = {name: max(1, round(share * len(order))) if share else 0 for name, share in shares.items()}
    if sum(counts.values()) >= len(order):
        with pytest.raises(DataError, match="leave none to train on"):
            draw_subjects(subjects, order, shares, seed)
        return
    rows = draw_subjects(subjects, order, shares, seed)
    assert sorted(row for part in rows.values() for row in part) == list(range(len(subjects)))
    assert all(part == sorted(part) for part in rows.values())
    people = of(rows, subjects)
    assert {name: len(people[name]) for name in counts} == counts
    assert sum(map(len, people.values())) == len(order), "nobody in two"
    # whoever is listed how often, and in which order, does not matter
    again = subjects[::-1] + subjects
    assert of(draw_subjects(again, order, shares, seed), again) == people


def test_another_seed_draws_others():
    order = [str(k) for k in range(20)]
    tests = {frozenset(draw_subjects(order, order, {"test": 0.25}, seed)["test"]) for seed in range(10)}
    assert len(tests) > 5


@given(WHO)
def test_over_all_folds_everyone_is_tested_on_once(subjects):
    order = sorted(set(subjects))
    if len(order) < 3:
        with pytest.raises(DataError, match="of which there must be 3"):
            leave_one_out(subjects, order, 1)
        return
    folds = [of(leave_one_out(subjects, order, fold), subjects) for fold in range(1, len(order) + 1)]
    assert [fold["test"] for fold in folds] == [{who} for who in order]
    assert [fold["val"] for fold in folds] == [{who} for who in order[1:] + order[:1]]
    assert all(fold["train"] == set(order) - fold["test"] - fold["val"] for fold in folds)


@pytest.mark.parametrize("fold", [0, 4, -1])
def test_there_is_no_other_fold(fold):
    with pytest.raises(DataError, match=f"fold={fold} must be 1 to 3"):
        leave_one_out("abc", "abc", fold)

"""A row holds runs of one kind only: equally trained, equally chosen weights, tested on the same samples."""

import dataclasses

import pytest

from blockyard.leaderboard.counting import count, is_complete
from blockyard.leaderboard.data_sets import data_title
from blockyard.leaderboard.record import described
from blockyard.leaderboard.tables import tables

DATA = {"classes": "a" * 16, "train": "b" * 16, "val": "c" * 16, "test": "d" * 16, "of": "names"}
PART = {"complete": False, "steps": 56, "planned_steps": 60}


@pytest.fixture
def on_data(make_record, config):
    """``on_data(top1, seed, test=…, name=…)``: a record that says which data it is of."""

    def make(top1, seed=0, name=None, block=None, fields=None, **splits):
        own = make_record(top1, seed, block).config
        own["data"]["init_args"]["name"] = name
        own["fingerprints"] = {**DATA, **splits}
        return dataclasses.replace(make_record(top1, seed, block, **(fields or {})), **described(own), config=own)

    return make


def names(records):
    return [[row.block for row in table.rows] for table in tables(records)]


def notes(records):
    return "\n".join(note for table in tables(records) for note in table.notes)


def test_other_test_data_are_another_table_and_never_averaged(on_data):
    records = [on_data(0.9, 0), on_data(0.5, 1, test="e" * 16)]
    found = tables(records)
    assert [table.data for table in found] == ["Digits (data dddddddd)", "Digits (data eeeeeeee)"]
    assert [[row.score.n for row in table.rows] for table in found] == [[1], [1]]


def test_other_training_data_are_another_row_that_says_so(on_data):
    records = [on_data(0.9, 0), on_data(0.5, 1, train="e" * 16)]
    assert sorted(names(records)[0]) == [f"none [train={'b' * 16}]", f"none [train={'e' * 16}]"]


def test_other_classes_are_another_table(on_data):
    assert len(tables([on_data(0.9), on_data(0.9, classes="e" * 16)])) == 2


def test_other_data_have_no_common_baseline(on_data):
    (first, second) = tables([on_data(0.9), on_data(0.95, block="SE", test="e" * 16)])
    assert first.rows[0].is_baseline
    assert second.rows[0].difference is None


def test_a_name_names_a_table_and_its_runs_stay_the_same_runs(on_data):
    named, unnamed = on_data(0.9, 0, name="birds"), on_data(0.9, 0)
    assert named.run == unnamed.run
    assert data_title([named, unnamed]) == "birds (data dddddddd)"


def test_a_published_set_is_called_by_its_name(on_data):
    assert data_title([on_data(0.9, test="17ca142c2f3d10a4", name="mine")]) == "Digits"
    assert data_title([on_data(0.9, test="4a7f146b20bdfe6b")]) == "Digits (CIFAR10)"


def test_old_records_without_fingerprints_keep_their_hashes_and_their_table(make_record, on_data):
    old = make_record(0.9, schema=1, complete=None, checkpoint=None, batch_norm=None)
    assert is_complete(old)
    assert [table.data for table in tables([old, on_data(0.8)])] == ["Digits", "Digits (data dddddddd)"]
    assert "do not say which samples" in notes([old])


def test_other_numbers_of_test_samples_are_never_in_one_row(make_record):
    records = [make_record(0.9, 0), make_record(0.5, 1, test_samples=10)]
    assert [len(row) for row in count(records).rows.values()] == [1, 1]


def test_a_whole_training_supersedes_a_part_of_it_whichever_was_tested_first(make_record):
    part = make_record(0.99, **PART)
    whole = make_record(0.9, repeat=1, finished="2030-02-01T00:00:00+00:00")
    counted = count([part, whole])
    assert list(counted.rows.values()) == [[whole]]
    assert (counted.repeats, counted.superseded) == ([], [(whole, part)])
    assert "Superseded, not averaged in: none, seed 0" in notes([part, whole])


def test_a_part_alone_is_marked_and_neither_averaged_nor_compared(make_record):
    records = [make_record(0.8, 0), make_record(0.9, 0, "SE"), make_record(0.99, 1, "SE", **PART)]
    (table,) = tables(records)
    rows = {row.block: row for row in table.rows}
    part = rows["SE @ stage2.1 [unfinished, step 56 of 60]"]
    assert (part.score.n, part.difference, rows["SE @ stage2.1"].score.n) == (1, None, 1)


def test_a_training_of_which_nothing_is_known_is_marked(make_record):
    assert names([make_record(0.9, complete=None, steps=12)]) == [["none [not known to be finished, step 12]"]]


def test_best_and_last_are_not_mixed_and_each_is_compared_with_its_like(make_record):
    records = [
        make_record(top1, 0, block, checkpoint=kind)
        for block, kind, top1 in ((None, "best", 0.8), (None, "last", 0.7), ("SE", "best", 0.9), ("SE", "last", 0.75))
    ]
    (table,) = tables(records)
    differences = {row.block: row.difference and round(row.difference.mean, 9) for row in table.rows}
    assert differences == {
        "none [best]": None,
        "none [last]": None,
        "SE @ stage2.1 [best]": 0.1,
        "SE @ stage2.1 [last]": 0.05,
    }


@pytest.mark.parametrize(
    ("fields", "settings", "said"),
    [({}, {}, True), ({"batch_norm": False}, {}, False), ({}, {"sync_batchnorm": True}, False)],
)
def test_processes_are_said_where_batch_normalisation_saw_other_batches(make_record, fields, settings, said):
    records = [make_record(0.9, seed, settings=settings, world_size=1 + seed, **fields) for seed in (0, 1)]
    assert ("on 1 and 2 processes without sync_batchnorm" in notes(records)) == said


@pytest.mark.parametrize(
    "said", ["x", {"test": "zz"}, {"test": "d" * 16}, {"test": 3, "of": "names"}, {**DATA, "of": "guesses"}]
)
def test_malformed_fingerprints_make_no_record(config, said):
    with pytest.raises(ValueError, match="fingerprints"):
        described(config | {"fingerprints": said})

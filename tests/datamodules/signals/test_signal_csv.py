"""Series listed in a table: whose they are decides which split they are in."""

from __future__ import annotations

import pytest

from blockyard.datamodules import SignalCSV
from blockyard.mistakes import DataError

from .conftest import ramps, write_csv


def table(root, rows, header="file,label,subject", **options):
    (root / "manifest.csv").write_text("\n".join([header, *rows]) + "\n")
    return SignalCSV(str(root), sample_rate=10, window=1.0, num_workers=0, **options)


def people(count=10):
    return [f"{who}-{label}.csv,{label},{who}" for who in range(1, count + 1) for label in ("run", "walk")]


def subjects(data, split):
    return {name.partition("-")[0] for name in data.names(split)}


@pytest.fixture
def root(tmp_path):
    for who in range(1, 11):
        for label in ("run", "walk"):
            write_csv(tmp_path / f"{who}-{label}.csv", ramps(20, who))
    return tmp_path


def test_nobody_is_in_two_splits_and_the_run_s_seed_has_no_part_in_it(root):
    found = [
        [subjects(table(root, people(), seed=seed, split_seed=split_seed), name) for name in ("train", "val", "test")]
        for seed, split_seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert found[0] == found[1] != found[2]
    assert [len(part) for part in found[0]] == [6, 2, 2]
    assert len(set.union(*found[0])) == 10


def test_folds_follow_the_subjects_as_numbers(root):
    for fold in (2, 10):
        data = table(root, people(), fold=fold)
        assert subjects(data, "test") == {str(fold)}, "10 comes after 9"
        assert subjects(data, "val") == {str(fold % 10 + 1)}
    assert data.names("predict") == data.names("test")
    assert "target" not in data.split("predict")[0]
    assert data.split("test").targets.tolist() == [0, 1]


def test_splits_that_are_told_are_kept_and_what_is_missing_is_drawn(root):
    rows = [f"{row},{'test' if row[0] in '34' else ''}" for row in people()]
    data = table(root, rows, "file,label,subject,split")
    assert subjects(data, "test") == {"3", "4"}
    assert len(subjects(data, "val")) == 1
    assert len(subjects(data, "train")) == 7
    assert table(root, rows, "file,label,subject,split", val_fraction=0.0).names("val") == []


def test_without_subjects_each_recording_is_one_of_its_own(root):
    data = table(root, [row.rpartition(",")[0] for row in people()], "file,label")
    assert [len(data.names(split)) for split in ("train", "val", "test")] == [12, 3, 5]


def test_rates_of_the_table_are_heeded(root):
    data = table(
        root, [f"{row},{'20' if row[0] == '1' else ''}" for row in people()], "file,label,subject,rate", fold=1
    )
    assert [len(data.split(split).recorded.read(0)) for split in ("test", "val")] == [10, 20]


@pytest.mark.parametrize(
    ("header", "rows", "options", "said"),
    [
        ("path,label", ["a,b"], {}, "the header must name file and label, and rows follow"),
        ("file,label", [], {}, "the header must name file and label, and rows follow"),
        ("file,label,subjekt", ["a,b,c"], {}, "no column subjekt is known; did you mean subject"),
        ("file,label", ["a,"], {}, "line 2: a file, a label, and a split of train, val, test or empty"),
        ("file,label,split", ["a,b,tests"], {}, "line 2: a file, a label, and a split"),
        ("file,label,rate", ["a,b,fast"], {}, "line 2: a rate of fast; in Hz, or empty"),
        ("file,label", ["a,b", "a,c"], {}, "lines 2 and 3: one file under two labels"),
        ("file,label", ["a,b", "a,b"], {}, "a file is listed twice"),
        (
            "file,label,subject,split",
            ["a,x,1,train", "b,y,2,train", "c,x,1,test"],
            {},
            "lines 2 and 4: subject 1 is in train and in test",
        ),
        ("file,label,subject,split", ["a,x,1,train", "b,y,2,test"], {"fold": 1}, "has splits of its own"),
        ("file,label,subject", people(4), {"fold": 5}, "fold=5 must be 1 to 4"),
        ("file,label,subject", people(2), {}, "2 subjects: 1 for test and 1 for val leave none to train on"),
        ("file,label,subject", ["a,x,1", "b,x,2", "c,y,3"], {"fold": 3}, "class y has no recording to train on"),
    ],
)
def test_mistakes_are_answered_in_one_line(header, rows, options, said, tmp_path):
    with pytest.raises(DataError, match=said) as error:
        table(tmp_path, rows, header, **options).names("train")
    assert "\n" not in str(error.value)


def test_a_table_that_is_missing_says_what_it_should_hold(tmp_path):
    with pytest.raises(DataError, match=r"manifest\.csv is missing: .* header file,label,subject,split,rate"):
        _ = SignalCSV(str(tmp_path), sample_rate=10).classes
    with pytest.raises(ValueError, match=r"SignalCSV: val_fraction=1 must be in \[0, 1\)"):
        SignalCSV(str(tmp_path), sample_rate=10, val_fraction=1)

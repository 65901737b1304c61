"""The table and the picture of a test, class by class."""

from __future__ import annotations

import csv

import torch

from blockyard.tasks.classification.class_report import SHOWN, class_rows, draw, print_rows, to_csv

CONFUSION = torch.tensor([[8, 2, 0], [1, 9, 0], [0, 0, 0]])


def test_rows_say_recall_precision_and_the_worst_confusion():
    cat, dog, fox = class_rows(CONFUSION, ["cat", "dog", "fox"])
    assert cat == {
        "class": "cat",
        "samples": 10,
        "recall": 0.8,
        "precision": 0.8889,  # 8 / 9
        "most often taken for": "dog",
        "times": 2,
    }
    assert (dog["recall"], dog["precision"]) == (0.9, 0.8182)  # 9 / 11
    assert (fox["samples"], fox["recall"], fox["precision"], fox["most often taken for"]) == (0, "", "", "")


def test_a_class_that_does_not_occur_has_no_recall_and_one_never_named_no_precision():
    cat, dog, fox = class_rows(torch.tensor([[3, 0, 1], [2, 0, 0], [0, 0, 0]]), ["cat", "dog", "fox"])
    assert [row["recall"] for row in (cat, dog, fox)] == [0.75, 0.0, ""]
    assert [row["precision"] for row in (cat, dog, fox)] == [0.6, "", 0.0]


def test_picture_of_few_and_of_many_classes():
    for classes in (3, 30, 100):
        picture = draw(torch.eye(classes, dtype=torch.long), [f"class {k} $_{{$" for k in range(classes)])  # no formula
        assert picture.startswith(b"\x89PNG")


def test_of_many_classes_the_worst_are_printed(capsys):
    confusion = torch.diag(torch.arange(50)) + torch.diag(torch.ones(49, dtype=torch.long), 1)
    print_rows(class_rows(confusion, [f"<{k}>" for k in range(50)]))
    text = capsys.readouterr().out
    assert "<0>" in text
    assert "<49>" not in text
    assert text.count("<1") + text.count("<2") >= SHOWN // 2


def test_names_from_elsewhere_are_text_to_terminals_and_spreadsheets(capsys):
    names = ["[/b]", "=1+1", "@a", "-3", "-x", "\x1b[2J", ":smile:"]
    rows: list[dict[str, object]] = [{"class": name, "recall": 0.5} for name in names]
    print_rows(rows)
    out = capsys.readouterr().out
    assert all(name in out for name in names if name.isprintable())
    assert "\x1b" not in out
    written = list(csv.reader(to_csv(rows).splitlines()))
    assert [row[0] for row in written[1:6]] == ["[/b]", "'=1+1", "'@a", "-3", "'-x"]  # a number is no formula

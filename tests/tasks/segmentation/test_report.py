"""The table and the picture of a segmentation's test, class by class."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch

from blockyard.tasks.segmentation.report import SegmentationReport, pixel_rows

CONFUSION = torch.tensor([[60, 20, 0], [10, 90, 0], [0, 0, 0]])
CLASSES = ["sky", "road", "train"]


def trainer(**options) -> SimpleNamespace:
    plain = {"is_global_zero": True, "fast_dev_run": False, "progress_bar_callback": None}
    return SimpleNamespace(**(plain | options), datamodule=SimpleNamespace(classes=CLASSES))


def test_rows():
    sky, road, train = pixel_rows(CONFUSION, CLASSES)
    assert sky == {
        "class": "sky",
        "pixels": 80,
        "IoU": 0.6667,  # 60 / 90
        "accuracy": 0.75,
        "Dice": 0.8,  # 120 / 150
        "most often taken for": "road",
    }
    assert (road["IoU"], road["accuracy"], road["most often taken for"]) == (0.75, 0.9, "sky")
    assert train == {"class": "train", "pixels": 0, "IoU": "", "accuracy": "", "Dice": "", "most often taken for": ""}


def test_files_and_the_printed_table(tmp_path, capsys):
    task = SimpleNamespace(pixel_confusion=CONFUSION)
    with pytest.warns(UserWarning, match=r"^test: not one pixel is train: means are over the classes"):
        SegmentationReport(tmp_path).on_test_end(trainer(progress_bar_callback=object()), task)
    rows = list(csv.DictReader((tmp_path / "classes.csv").open()))
    assert [row["class"] for row in rows] == CLASSES
    assert rows[1]["IoU"] == "0.75"
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert "66.67" in capsys.readouterr().out


def test_many_classes_are_printed_worst_first_without_the_absent(tmp_path, capsys):
    confusion = torch.zeros(150, 150, dtype=torch.long)
    confusion[range(140), range(140)] = torch.arange(1, 141)
    confusion[range(140), 149] = 50
    task, names = SimpleNamespace(pixel_confusion=confusion), [f"<{k}>" for k in range(150)]
    crowded = trainer(progress_bar_callback=object())
    crowded.datamodule.classes = names
    SegmentationReport(tmp_path).on_test_end(crowded, task)
    text = capsys.readouterr().out
    assert "the 20 classes with the lowest IoU of 150" in text
    assert "<0>" in text
    assert "<139>" not in text
    assert "<145>" not in text


def test_other_tasks_other_ranks_and_trials_are_left_alone(tmp_path):
    task = SimpleNamespace(pixel_confusion=CONFUSION)
    SegmentationReport(tmp_path).on_test_end(trainer(), SimpleNamespace())
    SegmentationReport(tmp_path).on_test_end(trainer(is_global_zero=False), task)
    SegmentationReport(tmp_path).on_test_end(trainer(fast_dev_run=True), task)
    assert not any(tmp_path.iterdir())

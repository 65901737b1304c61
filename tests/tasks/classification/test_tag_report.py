"""The table of a test with several labels a sample."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import torch

from blockyard.tasks.classification.tag_report import TagReport

SCORES = {"samples": torch.tensor([3, 0]), "AP": torch.tensor([0.75, float("nan")])}


def test_a_line_a_class_with_empty_cells_where_it_does_not_occur(tmp_path, capsys):
    data = SimpleNamespace(classes=["bird", "rain"])
    trainer = SimpleNamespace(is_global_zero=True, fast_dev_run=False, datamodule=data, progress_bar_callback=object())
    TagReport(tmp_path).on_test_end(trainer, SimpleNamespace(class_scores=SCORES))
    assert list(csv.DictReader((tmp_path / "classes.csv").open())) == [
        {"class": "bird", "samples": "3", "AP": "0.75"},
        {"class": "rain", "samples": "0", "AP": ""},
    ]
    assert "bird" in capsys.readouterr().out


def test_leaves_other_tasks_alone(tmp_path):
    trainer = SimpleNamespace(is_global_zero=True, fast_dev_run=False)
    TagReport(tmp_path).on_test_end(trainer, SimpleNamespace())
    assert not list(tmp_path.iterdir())

"""Predictions on disk."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch

from blockyard.callbacks import PredictionsCSV

DATA = SimpleNamespace(
    classes=["cat", "dog", "fox"],
    names=lambda split: ["a, b.jpg", "c.jpg", "d.jpg"],
    split=lambda name: SimpleNamespace(views=1),
)
TRAINER = SimpleNamespace(world_size=1, is_global_zero=True, datamodule=DATA)


def test_one_line_a_sample_in_the_order_of_the_split(tmp_path):
    writer = PredictionsCSV(tmp_path / "new")
    writer.on_predict_start(TRAINER, None)
    batches = [([[0.1, 0.7, 0.2], [0.5, 0.25, 0.25]], [2, 0]), ([[0.0, 0.0, 1.0]], [1])]
    for number, (probabilities, index) in enumerate(batches):
        outputs = torch.tensor(probabilities), torch.tensor(index)
        writer.on_predict_batch_end(TRAINER, None, outputs, {}, number)
    writer.on_predict_end(TRAINER, None)
    rows = list(csv.DictReader((tmp_path / "new" / "predictions.csv").open()))
    assert [row["file"] for row in rows] == ["a, b.jpg", "c.jpg", "d.jpg"]
    assert [row["class_1"] for row in rows] == ["cat", "fox", "dog"]
    assert float(rows[2]["probability_1"]) == pytest.approx(0.7)
    assert (rows[2]["class_2"], rows[2]["class_3"]) == ("fox", "cat")

"""Predictions on disk."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import pytest
import torch

from blockyard.datamodules.loading import Split
from blockyard.datamodules.vocabulary import Vocabulary
from blockyard.tasks.classification.predictions import PredictionsCSV

DATA = SimpleNamespace(
    vocabulary=Vocabulary(3, ("cat", "dog", "fox")),
    names=lambda split: ["a, b.jpg", "c.jpg", "d.jpg"],
    split=lambda name: Split(),
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
    assert not (tmp_path / "new" / "windows.csv").exists()


class Recordings(Split):
    """Three recordings; the second has three windows, the last one can't be read."""

    names = ("a.wav", "b.wav", "c.wav")
    owner = (0, 1, 1, 1, 2)
    windows = ((0.0, 0.8), (0.0, 1.0), (1.0, 2.0), (1.25, 2.25), (0.0, 1.0))

    def __len__(self) -> int:
        return 5

    def problem(self, position: int) -> str:
        return f"{self.names[position]}: no sound"


def test_windows_of_recordings_have_lines_and_times_of_their_own(tmp_path):
    data = SimpleNamespace(
        vocabulary=Vocabulary(2, ("cat", "dog")),
        names=lambda split: [*Recordings.names],
        split=lambda name: Recordings(),
    )
    trainer, writer = SimpleNamespace(world_size=1, is_global_zero=True, datamodule=data), PredictionsCSV(tmp_path)
    writer.on_predict_start(trainer, None)
    outputs = torch.tensor([[0.9, 0.1], [0.0, 1.0], [0.75, 0.25], [0.25, 0.75], [1.0, 0.0]]), torch.arange(5)
    valid = torch.tensor([True, True, True, True, False])
    writer.on_predict_batch_end(trainer, None, outputs, {"valid": valid}, 0)
    with pytest.warns(UserWarning, match=r"1 of 3 could not be read: c\.wav; the first: c\.wav: no sound"):
        writer.on_predict_end(trainer, None)
    rows = list(csv.DictReader((tmp_path / "predictions.csv").open()))
    assert [(row["file"], row["class_1"]) for row in rows] == [("a.wav", "cat"), ("b.wav", "dog"), ("c.wav", "")]
    assert float(rows[1]["probability_1"]) == pytest.approx(2 / 3, abs=1e-6)  # the mean of its three windows
    assert (tmp_path / "windows.csv").read_text().splitlines() == [
        "file,start,end,class,probability",
        "a.wav,0.000,0.800,cat,0.900000",
        "b.wav,0.000,1.000,dog,1.000000",
        "b.wav,1.000,2.000,cat,0.750000",
        "b.wav,1.250,2.250,dog,0.750000",
        "c.wav,0.000,1.000,,",
    ]

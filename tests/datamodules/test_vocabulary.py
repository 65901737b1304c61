"""The classes that travel with a checkpoint."""

from __future__ import annotations

import io

import pytest
import torch

from blockyard.datamodules import Digits, PascalVOC
from blockyard.datamodules.vocabulary import Vocabulary


def test_survives_a_checkpoint_that_is_read_without_trust():
    written = PascalVOC(root="nowhere").vocabulary
    file = io.BytesIO()
    torch.save(written.items(), file)
    file.seek(0)
    read = Vocabulary.of(torch.load(file, weights_only=True))
    assert read == written
    assert (read.num_classes, read.classes[0], read.palette[0], read.labels[255]) == (21, "background", (0, 0, 0), 255)


def test_channels_and_what_they_are_normalised_by_travel_too():
    written = Vocabulary(2, ("a", "b"), channels=("ax", "ay"), mean=(0.5, -3.0), std=(1.0, 1e-3))
    assert Vocabulary.of(written.items()) == written
    before = {key: value for key, value in written.items().items() if key not in ("channels", "mean", "std")}
    assert Vocabulary.of(before) == Vocabulary(2, ("a", "b")), "older checkpoints say nothing of them"


def test_data_believe_a_checkpoint():
    digits = Digits("8x8")
    assert digits.vocabulary == Vocabulary(10, tuple("0123456789"))
    digits.trained = Vocabulary(2, ("odd", "even"))
    assert digits.vocabulary.classes == ("odd", "even")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (Vocabulary(2, ("cat", "dog")), None),
        (Vocabulary(2), None),
        (Vocabulary(2, ("cat", "fox")), "class 1 of the data is 'fox', the checkpoint's is 'dog'"),
        (Vocabulary(3, ("cat", "dog", "fox")), "class 2 of the data is 'fox', the checkpoint's is none"),
        (Vocabulary(3), "the data have 3 classes, the checkpoint 2"),
    ],
)
def test_says_what_differs(now, expected):
    assert Vocabulary(2, ("cat", "dog")).difference(now) == expected


@pytest.mark.parametrize(
    "items",
    [
        None,
        {"num_classes": 2},
        {"num_classes": -1, "classes": [], "palette": [], "labels": {}},
        {"num_classes": 0, "classes": ["a"], "palette": [], "labels": {}},
        {"num_classes": 2, "classes": ["a"], "palette": [], "labels": {}},
        {"num_classes": 2, "classes": [], "palette": [[0, 0, 999], [0, 0, 0]], "labels": {}},
        {"num_classes": 2, "classes": [], "palette": [], "labels": {0: -1}},
        {
            "num_classes": 0,
            "classes": [],
            "palette": [],
            "labels": {},
            "channels": ["a"],
            "mean": [0, 0],
            "std": [1, 1],
        },
        {"num_classes": 0, "classes": [], "palette": [], "labels": {}, "channels": ["a"], "mean": [0], "std": [0]},
        {"num_classes": 0, "classes": [], "palette": [], "labels": {}, "channels": ["a"], "mean": [float("nan")]},
        {"num_classes": 0, "classes": [], "palette": [], "labels": {}, "channels": 3},
    ],
)
def test_damage_ends_in_one_line(items):
    with pytest.raises(ValueError, match=r"^the checkpoint's classes are damaged: .*$"):
        Vocabulary.of(items)

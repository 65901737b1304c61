"""Which way time runs, told without a label."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch.nn import functional as F
from torch.optim import SGD

from blockyard.backbones import PreResNet
from blockyard.objectives import TimeReversal
from blockyard.tasks import ActionRecognition, AudioClassification, ImageClassification, SignalClassification

OPTIONS = {"num_classes": 3, "optimizer": partial(SGD, lr=0.1), "objective": None}
TASKS = {
    (2, 24): (SignalClassification, 1),
    (1, 32): (AudioClassification, 1),
    (1, 4, 8, 8): (ActionRecognition, 3),
}


def made(shape: tuple[int, ...]):
    kind, rank = TASKS[shape]
    backbone = partial(PreResNet, depth=8, width=4, dropout=0.0, spatial_dims=rank)
    return kind(**OPTIONS | {"backbone": backbone, "input_shape": shape, "objective": TimeReversal()})


@pytest.mark.parametrize("shape", TASKS)
def test_equals_the_definition_and_reads_no_label(shape):
    task, x = made(shape).eval(), torch.randn(3, *shape)
    loss, logged = task.objective.loss(task, {"input": x})
    classifier = task.objective.classifier
    reversed_ = torch.stack([sample[:, range(shape[1])[::-1]] for sample in x])
    logits = torch.stack([classifier(task.vectors(x)), classifier(task.vectors(reversed_))])
    expected = -sum(F.log_softmax(logits[way], 1)[:, way].mean() for way in range(2)) / 2
    torch.testing.assert_close(loss, expected)
    right = torch.stack([(logits[way].argmax(1) == way).float().mean() for way in range(2)]).mean()
    torch.testing.assert_close(logged["direction_accuracy"], right)


def test_what_is_the_same_backwards_is_told_in_half_of_the_cases():
    task, x = made((2, 24)).eval(), torch.randn(5, 2, 24)
    loss, logged = task.objective.loss(task, {"input": x + x.flip(2)})
    assert logged["direction_accuracy"] == 0.5
    assert loss >= math.log(2)  # the mean of -log p and -log(1 - p)


def test_pictures_have_no_time():
    with pytest.raises(ValueError, match=r"plays sounds, series and clips backwards.*there is Rotation"):
        ImageClassification(
            **OPTIONS | {"backbone": partial(PreResNet, depth=8), "input_shape": (1, 8, 8), "objective": TimeReversal()}
        )

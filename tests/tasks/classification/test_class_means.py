"""Means over classes are over those that occur."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score
from torchmetrics.classification import MulticlassAccuracy

from blockyard.tasks.classification.class_means import MacroAccuracy, MacroF1, TopAccuracy


@pytest.fixture(params=["all classes", "two absent", "one sample"])
def labels(request):
    """Predictions and targets of 9 classes; absent ones are predicted all the same."""
    predicted, target = torch.randint(9, (300,)), torch.randint(9, (300,))
    if request.param == "two absent":
        target = target % 7
    return (predicted[:1], target[:1]) if request.param == "one sample" else (predicted, target)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_they_are_those_of_scikit_learn_over_the_classes_that_occur(labels):
    predicted, target = labels
    accuracy, f1 = MacroAccuracy(9), MacroF1(9)
    assert accuracy(predicted, target).item() == pytest.approx(balanced_accuracy_score(target, predicted), abs=1e-6)
    expected = f1_score(target, predicted, labels=target.unique(), average="macro", zero_division=0)
    assert f1(predicted, target).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("k", [1, 5])
def test_shares_are_those_of_torchmetrics(k: int):
    logits, target = torch.randn(200, 12), torch.randint(12, (200,))
    ours, theirs = TopAccuracy(k), MulticlassAccuracy(12, average="micro", top_k=k)
    assert torch.equal(ours.compute(), torch.tensor(0.0))
    for part in (slice(0, 120), slice(120, 120), slice(120, None)):
        ours.update(logits[part], target[part])
    theirs.update(logits, target)
    assert torch.equal(ours.compute(), theirs.compute())


def test_what_they_keep_and_make_grows_with_classes_and_not_with_their_square():
    classes = 200_000  # whose pairs would be 320 GB
    logits, target = torch.zeros(2, classes), torch.tensor([0, classes - 1])
    logits[:, 7], logits[0, 0] = 1, 2  # the first is right, the second takes 7 for the last and names it nowhere
    logits[1, :7] = 0.5
    assert MacroAccuracy(classes)(logits, target) == TopAccuracy(5)(logits, target) == 0.5


def test_a_split_scores_the_same_however_many_classes_it_lacks():
    predicted, target = torch.tensor([0, 0, 1, 7]), torch.tensor([0, 1, 1, 1])
    recall, f1 = ([kind(k)(predicted, target).item() for k in (8, 20, 1000)] for kind in (MacroAccuracy, MacroF1))
    assert recall == pytest.approx([(1 + 1 / 3) / 2] * 3)
    assert f1 == pytest.approx([(2 / 3 + 1 / 2) / 2] * 3)


def test_batches_add_up():
    predicted, target = torch.randint(4, (2, 30)).unbind()
    whole, parts = MacroF1(4), MacroF1(4)
    for part in range(3):
        parts.update(predicted[part * 10 :][:10], target[part * 10 :][:10])
    assert parts.compute() == whole(predicted, target)

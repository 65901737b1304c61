"""How the frozen features of tasks that name one or several classes a sample are judged."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from blockyard.analysis.classifier_input import ClassifierInput
from blockyard.analysis.features import read_features
from blockyard.analysis.neighbours import vote
from blockyard.analysis.probe import Probe, computing, fit_linear, leave_one_out, mean_score, needed, ranked, verdict
from blockyard.analysis.verdict import Options, Score, Verdict
from blockyard.datamodules import DataModule
from blockyard.progress import at_work
from blockyard.tasks.classification.tag_scores import ranking_precision, scores_of


def _classes(trainer: Trainer, task: Any, data: DataModule, options: Options, methods: tuple[str, ...]) -> Verdict:
    """Of tasks that name one or several classes a sample."""
    embed = ClassifierInput(task.network, task.num_classes, torch.zeros(1, *data.input_shape))
    features = {
        name: read_features(trainer, task, data.plain_dataloader(name), embed, f"Features of {name}").to(
            computing(trainer)
        )
        for name in needed(data, options, methods)
    }
    test, scores = features["test"], list[Score]()
    if "linear" in methods:
        classifier, strength = fit_linear(features, options, task.num_classes, computing(trainer))
        logits = classifier(test.vectors)
        probabilities = logits.sigmoid() if test.targets.ndim == 2 else logits.softmax(1)
        scores += _named("linear", probabilities, test.targets.to(probabilities.device), {"strength": strength})
    if "knn" in methods:
        train = features["train"]
        with at_work("asking nearest neighbours"):
            shares = vote(test.vectors, train.vectors, train.targets, task.num_classes, options.k, options.temperature)
        scores += _named("knn", shares, test.targets, {"k": options.k, "temperature": options.temperature})
    if "retrieval" in methods:
        with at_work("ranking the test split"):
            scores += ranked(leave_one_out(test.vectors, test.targets))
    return verdict("what the network's classifier sees, averaged over views", features, scores)


def _named(method: str, probabilities: Tensor, targets: Tensor, settings: dict[str, float]) -> list[Score]:
    """How well classes are named, by probabilities ``(n, K)``."""
    if targets.ndim == 1:
        return [mean_score(method, "top1", (probabilities.argmax(1) == targets).byte(), settings)]
    found, _ = scores_of(probabilities, targets)
    return [
        Score(method, "mAP", float(found["mAP"]), None, None, settings),
        mean_score(method, "lrap", ranking_precision(probabilities, targets), settings),
    ]


VOTES = {"knn": ("k", "temperature")}
CLASSES = Probe(_classes, looked_at=VOTES)
TAGS = Probe(_classes, {"retrieval": "recordings with several labels each have no one class to match"}, VOTES)

"""How the frozen features of each kind of task are judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from blockyard.analysis.classifier_input import ClassifierInput
from blockyard.analysis.features import Features, read_features
from blockyard.analysis.linear import STRENGTHS, LinearClassifier, choose
from blockyard.analysis.neighbours import TEMPERATURE, vote
from blockyard.analysis.pixels import confusions, read_positions, resampled_scores
from blockyard.analysis.verdict import METHODS, Options, Score, Verdict
from blockyard.datamodules import DataModule
from blockyard.leaderboard.bootstrap import bootstrap_mean
from blockyard.mistakes import nearest
from blockyard.retrieval import Ranking, rank
from blockyard.tasks import AudioTagging, Classification, PersonReID, SemanticSegmentation
from blockyard.tasks.base import Task
from blockyard.tasks.classification.tagging import ranking_precision, scores_of
from blockyard.tasks.segmentation.metrics import mean_scores

ENDS = (0.025, 0.975)
"""Percentiles of the ends of an interval."""


def judge(trainer: Trainer, task: Task, data: DataModule, options: Options) -> Verdict:
    """Judge the frozen features of a task's network.

    Args:
        trainer: Decides device and precision.
        task: Holds the network, which is left as it is.
        data: The splits.
        options: What is asked for.

    Raises:
        ValueError: If a method makes no sense for the task, or a split lacks what a method needs.
        FloatingPointError: If a feature is not finite.
    """
    for kind, (protocol, refused) in PROTOCOLS.items():
        if isinstance(task, kind):
            methods = _sensible(options.methods, kind.__name__, refused)
            task.trainer, trainer.datamodule = trainer, data  # type: ignore[attr-defined]
            task.setup("predict")  # which compares the task with its data
            return protocol(trainer, task, data, options, methods)
    kinds = [kind.__name__ for kind in PROTOCOLS]
    raise ValueError(f"no protocol for {type(task).__name__}; {nearest(type(task).__name__, kinds)}")


def _sensible(methods: tuple[str, ...] | None, kind: str, refused: dict[str, str]) -> tuple[str, ...]:
    sensible = tuple(method for method in METHODS if method not in refused)
    for method in methods or ():
        if method not in METHODS:
            raise ValueError(f"no method {method!r}; {nearest(method, METHODS)}")
        if method in refused:
            raise ValueError(f"{method} makes no sense for {kind}: {refused[method]}; allowed: {', '.join(sensible)}")
    return sensible if methods is None else methods


def _classes(
    trainer: Trainer, task: Classification, data: DataModule, options: Options, methods: tuple[str, ...]
) -> Verdict:
    """Of tasks that name one or several classes a sample."""
    embed = ClassifierInput(task.network, task.num_classes, torch.zeros(1, *data.input_shape))
    features = {
        name: read_features(trainer, task, data.plain_dataloader(name), embed).to(_computing(trainer))
        for name in _needed(data, options, methods)
    }
    test, scores = features["test"], list[Score]()
    if "linear" in methods:
        classifier, strength = _linear(features, options, task.num_classes)
        logits = classifier(test.vectors)
        probabilities = logits.sigmoid() if test.targets.ndim == 2 else logits.softmax(1)
        scores += _named("linear", probabilities, test.targets, {"strength": strength})
    if "knn" in methods:
        train = features["train"]
        shares = vote(test.vectors, train.vectors, train.targets, task.num_classes, options.k)
        scores += _named("knn", shares, test.targets, {"k": options.k, "temperature": TEMPERATURE})
    if "retrieval" in methods:
        scores += _ranked(leave_one_out(test.vectors, test.targets))
    return _verdict("what the network's classifier sees, averaged over views", features, scores)


def _pixels(
    trainer: Trainer, task: SemanticSegmentation, data: DataModule, options: Options, methods: tuple[str, ...]
) -> Verdict:
    """Of tasks that name a class a pixel."""
    learnt = [name for name in _needed(data, options, methods) if name != "test"]
    features = {
        name: read_positions(trainer, task, data.plain_dataloader(name), options.positions).to(_computing(trainer))
        for name in learnt
    }
    classifier, strength = _linear(features, options, task.num_classes)
    device = trainer.strategy.root_device
    single = LinearClassifier(classifier.weight.float().to(device), classifier.bias.float().to(device))
    counts = confusions(trainer, task, data.plain_dataloader("test"), single)
    if not counts.any():
        raise ValueError("no pixel of the test split has a label")
    found, drawn = mean_scores(counts.sum(0)), resampled_scores(counts)
    settings = {"strength": strength, "positions": options.positions}
    scores = []
    for metric, values in drawn.items():
        low, high = values.quantile(torch.tensor(ENDS, dtype=values.dtype)).tolist()
        scores.append(Score("linear", metric, float(found[metric]), low, high, settings))
    verdict = _verdict("positions of the last map that the heads see", features, scores)
    verdict.samples["test"] = len(counts)
    return verdict


def _people(trainer: Trainer, task: PersonReID, data: DataModule, *_: Any) -> Verdict:
    """Of re-identification: a test, which learns nothing of the people in it."""
    trainer.test(task, data, verbose=False)
    if task.ranking is None or task.features is None:
        raise ValueError("no query has a match among what was read: lift the limits on the test's batches")
    found = {"query": len(task.query), "gallery": len(task.gallery)}
    return Verdict(
        f"the vectors that a test compares ({task.distance} distance), averaged over clips",
        task.features.shape[1],
        found,
        dict.fromkeys(found, 0),
        _ranked(task.ranking),
    )


PROTOCOLS: dict[type[Task], tuple[Callable[..., Verdict], dict[str, str]]] = {
    AudioTagging: (_classes, {"retrieval": "recordings with several labels each have no one class to match"}),
    Classification: (_classes, {}),
    PersonReID: (_people, dict.fromkeys(("linear", "knn"), "nobody in the test was seen in training")),
    SemanticSegmentation: (_pixels, dict.fromkeys(("knn", "retrieval"), "a picture has no class of its own")),
}
"""How a kind of task is judged, and which methods make no sense for it; of several kinds that fit, the first."""


def leave_one_out(vectors: Tensor, targets: Tensor) -> Ranking:
    """Rank, for each item, all others; those of its class are its matches.

    Args:
        vectors: Features ``(n, D)``, compared by direction.
        targets: Classes ``(n,)``.

    Raises:
        ValueError: If no class has two items.
    """
    if not (targets.bincount() > 1).any():
        raise ValueError("retrieval needs a class with two test samples: nothing matches anything")
    # A camera of its own takes away an item itself, and nothing else of its class.
    own = torch.arange(len(targets), device=vectors.device)
    return rank(vectors, vectors, targets, targets, own, own)


def _computing(trainer: Trainer) -> torch.device:
    """Where features are compared in double precision, which Apple's GPUs don't have."""
    device = trainer.strategy.root_device
    return torch.device("cpu") if device.type == "mps" else device


def _needed(data: DataModule, options: Options, methods: tuple[str, ...]) -> list[str]:
    """The splits that some methods look at."""
    chooses = "linear" in methods and options.strength is None
    if chooses and not len(data.split("val")):
        raise ValueError(
            f"{type(data).__name__} has no validation split to choose the linear classifier's regularisation by: "
            "hold one out, or give --strength"
        )
    learns = not {"linear", "knn"}.isdisjoint(methods)
    return [*(["train"] if learns else []), *(["val"] if chooses else []), "test"]


def _linear(features: dict[str, Features], options: Options, num_classes: int) -> tuple[LinearClassifier, float]:
    train, judged = features["train"], features.get("val", features["train"])
    strengths = STRENGTHS if options.strength is None else (options.strength,)
    return choose((train.vectors, train.targets), (judged.vectors, judged.targets), num_classes, strengths)


def _named(method: str, probabilities: Tensor, targets: Tensor, settings: dict[str, float]) -> list[Score]:
    """How well classes are named, by probabilities ``(n, K)``."""
    if targets.ndim == 1:
        return [_mean(method, "top1", (probabilities.argmax(1) == targets).byte(), settings)]
    found, _ = scores_of(probabilities, targets)
    return [
        Score(method, "mAP", float(found["mAP"]), None, None, settings),
        _mean(method, "lrap", ranking_precision(probabilities, targets), settings),
    ]


def _ranked(ranking: Ranking) -> list[Score]:
    valid = ranking.valid
    return [
        _mean("retrieval", "mAP", ranking.average_precision[valid], {}),
        _mean("retrieval", "rank1", (ranking.first_match[valid] == 1).byte(), {}),
    ]


def _mean(method: str, metric: str, values: Tensor, settings: dict[str, float]) -> Score:
    interval = bootstrap_mean(values.cpu().numpy())
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Score(method, metric, float(values.double().mean()), low, high, settings)


def _verdict(words: str, features: dict[str, Features], scores: list[Score]) -> Verdict:
    one = next(iter(features.values()))
    samples = {name: len(found.vectors) for name, found in features.items()}
    left_out = {name: found.left_out for name, found in features.items()}
    return Verdict(words, one.vectors.shape[1], samples, left_out, scores)

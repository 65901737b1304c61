"""How the frozen features of a task are judged: what the probes of all tasks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from blockyard.analysis.features import Features
from blockyard.analysis.linear import STRENGTHS, LinearClassifier, choose
from blockyard.analysis.verdict import METHODS, Options, Score, Verdict
from blockyard.datamodules import DataModule
from blockyard.leaderboard.bootstrap import bootstrap_mean
from blockyard.mistakes import nearest
from blockyard.retrieval import Ranking, rank


@dataclass(frozen=True)
class Probe:
    """What a task does to have its frozen features judged.

    Attributes:
        verdict: Called with the trainer, the task, its data, the options and the methods.
        senseless: Methods that make no sense for the task, each with the reason.
        looked_at: The options that the number of a method depends on, where it is not the strength alone.
    """

    verdict: Callable[[Trainer, Any, DataModule, Options, tuple[str, ...]], Verdict]
    senseless: Mapping[str, str] = field(default_factory=dict)
    looked_at: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def asked(self, method: str, options: Options) -> dict[str, Any]:
        """A method with the options that its number depends on: what makes the experiment.

        A strength that validation chooses is a part of the outcome.
        """
        said = {name: getattr(options, name) for name in self.looked_at.get(method, ())}
        strength = {"strength": options.strength} if method == "linear" and options.strength is not None else {}
        return {"method": method, **said, **strength}

    def methods(self, asked: tuple[str, ...] | None, task: str) -> tuple[str, ...]:
        """Those that are asked for; all that make sense, if none are.

        Raises:
            ValueError: If one is unknown or makes no sense for the task.
        """
        sensible = tuple(method for method in METHODS if method not in self.senseless)
        for method in asked or ():
            if method not in METHODS:
                raise ValueError(f"no method {method!r}; {nearest(method, METHODS)}")
            if method in self.senseless:
                reason, allowed = self.senseless[method], ", ".join(sensible)
                raise ValueError(f"{method} makes no sense for {task}: {reason}; allowed: {allowed}")
        return sensible if asked is None else asked


def probe_of(task: type) -> Probe:
    """How a kind of task has its features judged.

    Raises:
        ValueError: If nothing says how.
    """
    probe: Probe | None = getattr(task, "probe", None)
    if probe is None:
        raise ValueError(f"{task.__name__} has no probe: nothing says how to judge its features")
    return probe


def judge(trainer: Trainer, task: Any, data: DataModule, options: Options) -> Verdict:
    """Judge the frozen features of a task's network.

    Args:
        trainer: Decides device and precision.
        task: A :class:`~blockyard.tasks.Task`; its network is left as it is.
        data: The splits.
        options: What is asked for.

    Raises:
        ValueError: If the task has no probe, a method makes no sense for it, or a split lacks what a method needs.
        FloatingPointError: If a feature is not finite.
    """
    probe = probe_of(type(task))
    methods = probe.methods(options.methods, type(task).__name__)
    task.trainer, trainer.datamodule = trainer, data  # type: ignore[attr-defined]
    task.setup("predict")  # which compares the task with its data
    trainer.datamodule = None  # type: ignore[attr-defined]  # or it would be asked for what it predicts of by itself
    return probe.verdict(trainer, task, data, options, methods)


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


def computing(trainer: Trainer) -> torch.device:
    """Where features are compared in double precision, which Apple's GPUs don't have."""
    device = trainer.strategy.root_device
    return torch.device("cpu") if device.type == "mps" else device


def needed(data: DataModule, options: Options, methods: tuple[str, ...]) -> list[str]:
    """The splits that some methods look at."""
    chooses = "linear" in methods and options.strength is None
    if chooses and not len(data.split("val")):
        raise ValueError(
            f"{type(data).__name__} has no validation split to choose the linear classifier's regularisation by: "
            "hold one out, or give --strength"
        )
    learns = not {"linear", "knn"}.isdisjoint(methods)
    return [*(["train"] if learns else []), *(["val"] if chooses else []), "test"]


def fit_linear(
    features: dict[str, Features], options: Options, num_classes: int, device: torch.device
) -> tuple[LinearClassifier, float]:
    """A linear classifier of the training samples, and its strength of regularisation, as validation chose it."""
    train, judged = features["train"], features.get("val", features["train"])
    strengths = STRENGTHS if options.strength is None else (options.strength,)
    return choose((train.vectors, train.targets), (judged.vectors, judged.targets), num_classes, strengths, device)


def ranked(ranking: Ranking) -> list[Score]:
    """The scores of a ranking, over the queries that have a match."""
    valid = ranking.valid
    return [
        mean_score("retrieval", "mAP", ranking.average_precision[valid], {}),
        mean_score("retrieval", "rank1", (ranking.first_match[valid] == 1).byte(), {}),
    ]


def mean_score(method: str, metric: str, values: Tensor, settings: dict[str, float]) -> Score:
    """A score that is the mean of values ``(n,)``, with its interval."""
    interval = bootstrap_mean(values.cpu().numpy())
    low, high = (interval.low, interval.high) if interval else (None, None)
    return Score(method, metric, float(values.double().mean()), low, high, settings, values.cpu())


def verdict(words: str, features: dict[str, Features], scores: list[Score]) -> Verdict:
    """Scores together with what they were found on; ``words`` say what the features are."""
    one = next(iter(features.values()))
    samples = {name: len(found.vectors) for name, found in features.items()}
    left_out = {name: found.left_out for name, found in features.items()}
    return Verdict(words, one.vectors.shape[1], samples, left_out, scores)

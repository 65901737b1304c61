"""What a run has measured, held against what its task states of its metrics."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from lightning.pytorch import Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from numpy.typing import NDArray
from torch import Tensor

from blockyard.leaderboard.validation import value_problem
from blockyard.metrics import Metric, metric_named, primary_of, stated_by


def pretext_of(task: Any) -> str | None:
    """What a task was trained for that learned no labels: the metric of its pretext."""
    name: str | None = getattr(getattr(task, "objective", None), "primary_metric", None)
    return name


def judged_by(task: Any) -> Metric:
    """The metric that a record of a task is ranked by: the primary one of what it learned."""
    pretext = pretext_of(task)
    return metric_named(pretext) if pretext else primary_of(task)


class Tested(NamedTuple):
    """A result of a test that makes a record.

    Attributes:
        task: What was learned.
        config: The configuration of the experiment.
        shape: Shape ``(C, *S)`` of a sample.
        prefix: What the names of its metrics begin with where the test has logged them.
    """

    task: Any
    config: dict[str, Any]
    shape: tuple[int, ...]
    prefix: str = "test/"


def results(trainer: Any, task: Any, config: dict[str, Any]) -> list[Tested]:
    """The results of a test: one, or one of each of the tasks that were learned at once, which the task then says."""
    parts: list[Tested] = task.tested(config) if hasattr(task, "tested") else []
    return parts or [Tested(task, config, trainer.datamodule.input_shape)]


def in_test(trainer: Trainer, result: Tested) -> tuple[dict[str, float], dict[str, NDArray[Any]]]:
    """Name to value of what a test has logged of what was learned, and the scores ``(n,)`` of samples."""
    task, prefix = result.task, result.prefix
    logged = trainer.callback_metrics.items()
    found = {name.removeprefix(prefix): _number(value) for name, value in logged if name.startswith(prefix)}
    if pretext := pretext_of(task):
        return {pretext: found[pretext]}, {}
    return found, {name: values.cpu().numpy() for name, values in task.sample_scores.items()}


def test_samples(trainer: Any, scores: dict[str, NDArray[Any]]) -> int:
    """How many samples were tested: those with a score, where there are such."""
    return len(next(iter(scores.values()))) if scores else len(trainer.test_dataloaders.dataset)


def look_at(trainer: Trainer, task: Any, metrics: Iterable[Metric]) -> set[Metric]:
    """Look at what a validation says of some metrics.

    Returns:
        Those of which it has said no finite number yet.

    Raises:
        ValueError: If a number is out of its metric's bounds.
    """
    unseen = set(metrics)
    for metric in sorted(metrics, key=lambda metric: metric.order):
        value = trainer.callback_metrics.get(f"val/{metric.name}")
        if value is None:
            continue
        number = _number(value)
        said = f"val/{metric.name} is {number:g}; a record allows {metric.allowed}"
        if not math.isfinite(number):
            rank_zero_warn(f"{said}: a test that gives this leaves none")
            continue
        if not metric.allows(number):
            raise ValueError(f"{said}, {_to_mend(task, metric.name)}")
        unseen.remove(metric)
    return unseen


def problems(task: Any, metrics: dict[str, float]) -> list[str]:
    """What keeps a test's metrics from making a record, and what to do about it; a line each."""
    stated, primary = stated_by(task), judged_by(task).name
    found = {name: value_problem(name, value, stated) for name, value in metrics.items()}
    lines = [f"{problem}, {_to_mend(task, name)}" for name, problem in found.items() if problem]
    if primary not in metrics:
        lines.append(f"the primary metric {primary} is not among what the test has logged: log test/{primary}")
    if not task.sample_scores and not pretext_of(task):
        lines.append("sample_scores is empty: a number a test sample is needed")
    return lines


def scales(task: Any, names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What a task states of some metrics, where it is not what their names say."""
    known = set(names)
    said = [metric for metric in stated_by(task) if metric != metric_named(metric.name)]
    return {metric.name: metric.scale() for metric in said if metric.name in known}


def _to_mend(task: Any, name: str) -> str:
    """Where the mistake is."""
    place = f"{type(task).__name__}.metrics"
    if any(metric.name == name for metric in stated_by(task)):
        return f"as {place} says: mend either"
    return f"unless {place} says otherwise"


def _number(value: Tensor) -> float:
    """A float32 metric with the digits that it has: a rounded mean of ones may be 1.0000001, which is no score."""
    return float(f"{value.item():.7g}")

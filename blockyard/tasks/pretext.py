"""Validation of a network that a pretext trains: of what that learns, in place of the task's own metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from torch import nn
from torchmetrics.aggregation import MeanMetric

from blockyard.objectives import Objective


class Means(nn.ModuleDict):
    """Means over the samples of a validation: ``loss`` and the primary metric of a pretext; none of anything else."""

    def __init__(self, objective: Objective) -> None:
        names = ("loss", objective.primary_metric) if objective.primary_metric else ()
        super().__init__({name: MeanMetric() for name in names})


def unless_pretext(name: str, hook: Callable[..., None]) -> Callable[..., None]:
    """A hook of a task's validation, in whose place stands that of :data:`VALIDATION` where a pretext is trained."""

    @wraps(hook)
    def chosen(task: Any, *args: Any, **kwargs: Any) -> None:
        own = VALIDATION[name] if task.objective.primary_metric else hook
        return own(task, *args, **kwargs)

    return chosen


def _add(task: Any, batch: dict[str, Any], batch_idx: int) -> None:
    """Update the means; a rank without a sample gets an empty batch."""
    if size := len(batch["input"]):
        loss, logged = task.objective.loss(task, batch)
        for name, mean in task.validation_means.items():
            mean.update(loss if name == "loss" else logged[name], weight=size)


def _log(task: Any) -> None:
    """Log the means; every rank takes part, also one that had no sample."""
    for name, mean in task.validation_means.items():
        task.log(f"val/{name}", mean.compute(), prog_bar=name != "loss")
        mean.reset()


VALIDATION: dict[str, Callable[..., None]] = {"validation_step": _add, "on_validation_epoch_end": _log}
"""What a pretext has, by the name of the hook."""

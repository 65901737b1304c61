"""Whether a task can learn from data, asked before a network is built."""

from __future__ import annotations

from typing import Any

from blockyard.blocks.base import concrete_subclasses
from blockyard.datamodules import DataModule
from blockyard.tasks.base import Task


def refuse_other_data(task: type, data: DataModule, labels: bool) -> None:
    """Refuse data whose samples are of another kind than the task learns from.

    Args:
        task: The class of a task.
        data: What it is to learn from.
        labels: Whether it is to learn the labels of the data.

    Raises:
        ValueError: If it can't; one line that names the tasks which can.
    """
    if _fits(task, data, labels):
        return
    own = (kind for kind in concrete_subclasses(Task, "*") if kind.__module__.startswith("blockyard."))
    able = [kind.__name__ for kind in own if kind.learns_from and _fits(kind, data, True)]
    wanted = " or ".join(getattr(task, "learns_from", ())) or "other samples"
    advice = f"that is for --model {' or '.join(able)}" if able else "no task here takes that"
    raise ValueError(f"{task.__name__} learns from {wanted}, and {type(data).__name__} is {_content(data)}: {advice}")


def _fits(task: Any, data: DataModule, labels: bool) -> bool:
    if len(data.input_shape) - 1 not in getattr(task, "ranks", (1, 2, 3)):
        return False
    kinds = getattr(task, "learns_from", ())
    return not (labels and kinds and data.samples_are) or data.samples_are in kinds


def _content(data: DataModule) -> str:
    return f"{data.samples_are or 'samples'} of shape {data.input_shape}"

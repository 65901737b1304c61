"""How far a training is, and how far it will go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler

STOPPERS = ("StopEarly", "EarlyStopping")
KEY = "position"
"""Where a checkpoint says how far its training was."""


@dataclass(frozen=True)
class Position:
    """What comes next: batch ``batch`` of epoch ``epoch``, both from 0, after ``step`` optimiser steps.

    At the border of two epochs it is the beginning of the later one.
    """

    epoch: int
    batch: int
    step: int

    def items(self) -> dict[str, int]:
        """For a checkpoint."""
        return asdict(self)


def position_of(trainer: Any) -> Position:
    """Where a training is, in whatever hook it is asked, once a batch is done."""
    epochs, batches = trainer.fit_loop.epoch_progress.current, trainer.fit_loop.epoch_loop.batch_progress
    begun, over = epochs.ready, epochs.ready == epochs.processed
    if over or epoch_is_over(trainer):
        return Position(begun, 0, trainer.global_step)
    return Position(max(0, begun - 1), batches.current.ready, trainer.global_step)


def epoch_is_over(trainer: Any) -> bool:
    """Whether the batch that is done is the last of its epoch."""
    batches = trainer.fit_loop.epoch_loop.batch_progress
    return bool(batches.is_last_batch or batches.current.ready >= trainer.num_training_batches)


def ends_training(trainer: Any) -> bool:
    """Whether the batch that is done is the last of the training: of its last epoch, or the one of its last step."""
    last_epoch = trainer.max_epochs is not None and 0 <= trainer.max_epochs <= trainer.current_epoch + 1
    return bool((last_epoch and epoch_is_over(trainer)) or 0 <= trainer.max_steps <= trainer.global_step)


def epochs_done(trainer: Any) -> float:
    """Epochs behind a training, and the share of the one that it is in or that ended it."""
    begun, done = (
        trainer.fit_loop.epoch_progress.current.ready,
        trainer.fit_loop.epoch_loop.batch_progress.current.ready,
    )
    return float(max(0, begun - 1) + min(1.0, done / trainer.num_training_batches))


@dataclass(frozen=True)
class State:
    """How far the training was that wrote a checkpoint.

    Attributes:
        position: What came next.
        stopped: Whether it had ended itself, for it no longer got better.
    """

    position: Position
    stopped: bool

    def is_over(self, trainer: Mapping[str, Any]) -> str | None:
        """Why nothing is left to train, one phrase; None if something is.

        Args:
            trainer: Options of the trainer that goes on: ``max_epochs``, ``max_steps``, and ``callbacks``, for what was
                stopped early goes on if nothing stops it any more.
        """
        epochs, steps = trainer.get("max_epochs"), trainer.get("max_steps")
        done = f"{self.position.epoch} epochs and {self.position.step} steps are done"
        if epochs is not None and 0 <= epochs <= self.position.epoch:
            return f"{done} of trainer.max_epochs {epochs}"
        if steps is not None and 0 <= steps <= self.position.step:
            return f"{done} of trainer.max_steps {steps}"
        return f"{done}, and it was stopped early" if self.stopped and _stops_early(trainer) else None


def read_state(file: Path) -> State:
    """How far the training was that wrote a checkpoint.

    Raises:
        ValueError: If it is no checkpoint of a training.
    """
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return State(_saved_position(checkpoint), _stopped(checkpoint.get("callbacks", {})))
    except (KeyError, TypeError, AttributeError, OSError, RuntimeError, UnpicklingError) as error:
        raise ValueError(f"{file} is no checkpoint that a training can go on from: it is damaged or foreign") from error


def _saved_position(checkpoint: dict[str, Any]) -> Position:
    """Of an older checkpoint, as far as Lightning's own counts tell."""
    if KEY in checkpoint:
        position = Position(**checkpoint[KEY])
        if any(type(value) is not int or value < 0 for value in position.items().values()):
            raise TypeError(f"{position} is none")
        return position
    loop = checkpoint["loops"]["fit_loop"]
    epochs, batches = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    if epochs["ready"] == epochs["processed"] or batches["is_last_batch"]:
        return Position(epochs["ready"], 0, checkpoint["global_step"])
    return Position(max(0, epochs["ready"] - 1), batches["current"]["ready"], checkpoint["global_step"])


def _stops_early(trainer: Mapping[str, Any]) -> bool:
    callbacks = trainer.get("callbacks") or []
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    return any(str(callback["class_path"]).rpartition(".")[2] in STOPPERS for callback in listed)


def _stopped(callbacks: Mapping[str, Any]) -> bool:
    stoppers = [state for name, state in callbacks.items() if name.startswith(STOPPERS)]
    return any(state["wait_count"] >= state["patience"] for state in stoppers)


def steps_an_epoch(trainer: Trainer) -> int:
    """Optimiser steps of a whole epoch, the one that fewer batches than are accumulated make at its end included."""
    trainer.fit_loop.setup_data()  # of a run that only max_steps ends, Lightning has not counted the batches yet
    return math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)


def planned_steps(trainer: Trainer) -> int | None:
    """Optimiser steps that a run will have made when it ends, those before a resume included; None if it has no end.

    With other numbers of steps an epoch before a resume and after, it is what the whole run comes to: the steps done,
    and those that the epochs left take now.
    """
    epochs, limit = trainer.max_epochs, trainer.max_steps
    if epochs is None or epochs < 0:
        return limit if limit >= 0 else None
    trainer.fit_loop.setup_data()
    now, batches = position_of(trainer), trainer.num_training_batches
    left = sum(math.ceil(batches / _accumulated(trainer, epoch)) for epoch in range(now.epoch, epochs))
    planned = now.step + left - now.batch // _accumulated(trainer, now.epoch)
    return min(planned, limit) if limit >= 0 else planned


def _accumulated(trainer: Any, epoch: int) -> int:
    """How many batches make a step in an epoch."""
    schedules = (callback for callback in trainer.callbacks if isinstance(callback, GradientAccumulationScheduler))
    schedule = next(schedules, None)
    return schedule.get_accumulate_grad_batches(epoch) if schedule else trainer.accumulate_grad_batches


def share_of_step(trainer: Any) -> float:
    """What to multiply the loss of a batch by, which Lightning divides by the number of batches that it accumulates.

    It is above 1 for the last batches of an epoch, where they are fewer: their step too is along a mean.
    """
    accumulated, batches = trainer.accumulate_grad_batches, trainer.num_training_batches
    rest = batches % accumulated if math.isfinite(batches) else 0
    if not rest or trainer.fit_loop.epoch_loop.batch_idx < batches - rest:
        return 1.0
    return accumulated / rest

"""Callbacks that stop a run at a chosen batch."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from blockyard.runs import keep_last
from blockyard.runs.keep_last import KeepLast


@dataclass(frozen=True)
class Stop:
    """Where and how a run is stopped."""

    kind: str
    hook: str
    number: int
    """The batch of the run, from 0."""
    late: bool
    """Whether after all other callbacks, those that write checkpoints included."""
    rank: int
    keep_every: int
    """Batches from one checkpoint of "every ten minutes" to the next."""

    def __str__(self) -> str:
        return f"{self.kind} at batch {self.number} {self.hook}{' late' * self.late} on rank {self.rank}"


class Stopping(Callback):
    """Carries out a stop, in the process of the run."""

    def __init__(self, stop: Stop) -> None:
        self.stop = stop
        setattr(self, f"on_{stop.hook}", self._look)

    def _look(self, trainer: Any, *_: Any) -> None:
        number = trainer.current_epoch * trainer.num_training_batches + trainer.fit_loop.batch_idx
        if (number, trainer.global_rank) != (self.stop.number, self.stop.rank):
            return
        if self.stop.kind == "max_time":
            next(callback for callback in trainer.callbacks if isinstance(callback, KeepLast)).max_time = 0.0
        elif self.stop.kind == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            os.killpg(0, signal.SIGKILL)  # as a lost machine would: all ranks


class StoppingLate(Stopping, Checkpoint):
    """Carries it out after all other callbacks: Lightning calls those that write checkpoints last."""


class KeepOften(Callback):
    """Has the checkpoint of every ten minutes written every so many batches instead."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Let it be time, or not."""
        keep_last.EVERY = timedelta(0) if (batch_idx + 1) % self.batches == 0 else timedelta(days=1)

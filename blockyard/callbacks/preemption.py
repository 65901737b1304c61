"""Leaving in time: a training that is asked to stop writes a checkpoint first, and has its job queued again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

PREEMPTED = 75
"""Exit code of a run that left early and is to be continued; EX_TEMPFAIL of sysexits.h."""
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
PATIENCE = 20.0
"""Seconds after the signal that a validation may take to end; then the run leaves with the checkpoint it has."""


class Preemption(Checkpoint):
    """On SIGUSR1 or SIGTERM, checkpoints at the next optimiser step and exits with :data:`PREEMPTED`.

    The signal handler does nothing but take a note: a checkpoint written inside a handler meets half-updated weights
    and hangs in the collectives of other ranks. All ranks agree after an optimiser step, whichever of them got the
    signal, and leave together. Agreeing is one all-reduce of one number, beside the one broadcast that Lightning itself
    does every step.

    In a SLURM job rank 0 then asks for the job to be queued again. Not after the SIGTERM of a job that SLURM has ended
    already, by ``scancel`` or at its time limit: ``--signal=USR1@120`` gives notice of the latter.

    It is a ``Checkpoint`` so that Lightning calls it after all other callbacks, which have seen the step by then.
    These handlers take the place of Lightning's, which write the checkpoint themselves.

    Args:
        path: The checkpoint, normally ``last.ckpt`` of the run.
        every_n_steps: Optimiser steps from one agreement to the next.

    Raises:
        ValueError: If ``every_n_steps`` is not positive.
    """

    def __init__(self, path: Path, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"Preemption: every_n_steps must be at least 1, got {every_n_steps}")
        self.path = path
        self.every_n_steps = every_n_steps
        self._signal: signal.Signals | None = None
        self._noticed = 0.0
        self._global_step = self._steps = 0
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._global_step, self._steps = trainer.global_step, 0
        if not trainer.fast_dev_run:  # type: ignore[attr-defined] # such a trial leaves nothing behind
            self._listen()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Leave with a checkpoint if a rank was asked to; not while gradients accumulate, which no checkpoint keeps."""
        if trainer.global_step == self._global_step:
            return
        self._global_step = trainer.global_step
        self._steps += 1
        if self._steps % self.every_n_steps == 0 and _any_rank(trainer, self._signal is not None):
            trainer.save_checkpoint(self.path)
            self._leave(trainer, f"checkpoint {self.path}")

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Wait for the end of the validation, after which a checkpoint can be written, but not for long."""
        late = self._signal is not None and time.monotonic() - self._noticed > PATIENCE
        if self._before and _any_rank(trainer, late):
            self._leave(trainer, "in the middle of a validation, so without a new checkpoint")

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Leave if a rank was asked to: a test has nothing to keep."""
        if _any_rank(trainer, self._signal is not None):
            self._leave(trainer, "in the middle of a test")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._ignore()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._ignore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self._ignore()

    def _listen(self) -> None:
        self._signal = None
        if threading.current_thread() is threading.main_thread():  # Python gives signals to no other
            self._before = {number: signal.signal(number, self._notice) for number in SIGNALS}

    def _ignore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if self._signal is None:
            self._signal, self._noticed = signal.Signals(number), time.monotonic()

    def _leave(self, trainer: Any, what: str) -> None:
        if trainer.is_global_zero:
            reason = self._signal.name if self._signal else "a signal to another process"
            print(f"blockyard: stopped by {reason} at step {trainer.global_step}, {what}", file=sys.stderr, flush=True)
            requeue(self._signal)
        trainer.strategy.barrier("left")  # srun may end all ranks when the first exits: not before the job is queued
        raise SystemExit(PREEMPTED)


def requeue(reason: signal.Signals | None) -> None:
    """Have the SLURM job that this process belongs to queued again; nothing outside one.

    Args:
        reason: The signal received. After SIGTERM only a job that still runs is queued again.
    """
    job = os.environ.get("SLURM_JOB_ID")
    if job is None or (reason == signal.SIGTERM and _job_state(job) != "RUNNING"):
        return
    done = subprocess.run(["scontrol", "requeue", job], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"blockyard: job {job} was not queued again: {done.stderr.strip()}", file=sys.stderr, flush=True)


def _job_state(job: str) -> str:
    command = ["squeue", "--noheader", "--jobs", job, "--format", "%T"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _any_rank(trainer: Any, asked: bool) -> bool:
    return bool(trainer.strategy.reduce_boolean_decision(asked, all=False))

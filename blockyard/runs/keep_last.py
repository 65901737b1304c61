"""The checkpoint that a training goes on from: written where nothing is owed, and before a training leaves early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.trainer.states import TrainerFn

from blockyard.progress import is_first_process
from blockyard.runs.position import epoch_is_over, position_of

PREEMPTED = 75
"""Exit code of a run that left early and is to be continued; EX_TEMPFAIL of sysexits.h."""
SIGNALS = (signal.SIGUSR1, signal.SIGTERM)
EVERY = timedelta(minutes=10)
"""How much a run that is killed without notice loses at most."""
PATIENCE = 20.0
"""Seconds after the signal that a validation may take to end; then the run leaves with the checkpoint it has."""
ASKED = b"\nblockyard: Ctrl-C: leaves after this step, with a checkpoint; once more: at once\n"
NOTHING, SAVE, OUT_OF_TIME, SIGNALLED = range(4)
"""What a process wants; all do what the most urgent one says."""


class KeepLast(Checkpoint):
    """Writes the last checkpoint: at an epoch's end, every ten minutes, at the run's end, and before leaving early.

    It is written where nothing is owed: after an optimiser step, so that no gradient is half accumulated, and after the
    validation that follows it, if one does. A run that goes on from it does what it would have done, at the border of
    an epoch too, and when ``max_steps`` or an early stop ended it in the middle of one.

    On SIGUSR1 or SIGTERM, or when its time is over, a training leaves after the next optimiser step, or after the
    validation of that step, with :data:`PREEMPTED`. The signal handler does nothing but take a note: a checkpoint
    written inside a handler meets half-updated weights and hangs in the collectives of other ranks. All ranks agree
    after an optimiser step, whichever of them wants what, and leave together. Agreeing is one all-reduce of one number,
    beside the one broadcast that Lightning itself does every step. Ctrl-C in a training is such a signal, which ends in
    a ``KeyboardInterrupt`` with a checkpoint behind it; a second one ends at once.

    In a SLURM job rank 0 then asks for the job to be queued again. Not after the SIGTERM of a job that SLURM has ended
    already, by ``scancel`` or at its time limit: ``--signal=USR1@120`` gives notice of the latter.

    It is a ``Checkpoint`` so that Lightning calls it after all other callbacks, which have seen the step by then.
    These handlers take the place of Lightning's, which write the checkpoint themselves, and ``max_time`` that of
    Lightning's timer, which ends the epoch in its middle.

    Args:
        path: The checkpoint, normally ``last.ckpt`` of the run.
        max_time: Seconds from the start of this training, not of an earlier part of its run, after which it leaves.
        every_n_steps: Optimiser steps from one agreement to the next.

    Raises:
        ValueError: If ``every_n_steps`` is not positive.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, path: Path, max_time: float | None = None, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"KeepLast: every_n_steps must be at least 1, got {every_n_steps}")
        self.path, self.max_time = path, max_time
        self.every_n_steps = every_n_steps
        self._signal: signal.Signals | None = None
        self._noticed = self._started = self._saved = 0.0
        self._global_step = self._steps = 0
        self._agreed = NOTHING
        self._before: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._global_step, self._steps, self._agreed = trainer.global_step, 0, NOTHING
        self._started = self._saved = time.monotonic()
        if not _leaves_nothing(trainer):
            # Not where it is ignored, as in what a shell runs behind, or means something else, as in a notebook.
            own = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            self._listen((*SIGNALS, signal.SIGINT) if own else SIGNALS)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Write the checkpoint, and leave, if a rank wants to; not while gradients accumulate, which it lacks."""
        if trainer.global_step == self._global_step or _leaves_nothing(trainer):
            return
        self._global_step = trainer.global_step
        self._steps += 1
        if self._steps % self.every_n_steps == 0:
            self._agreed = self._agree(trainer)
        if not _validation_follows(trainer) and not epoch_is_over(trainer) and (self._agreed or _run_ends(trainer)):
            # Lightning logs this step after its callbacks only, and a run that goes on takes it for done
            trainer._logger_connector.update_train_step_metrics()
            self._save_and_leave(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Wait for the end of the validation, after which a checkpoint can be written, but not for long."""
        late = self._signal is not None and time.monotonic() - self._noticed > PATIENCE
        if self._before and trainer.strategy.reduce_boolean_decision(late, all=False):
            self._leave(trainer, SIGNALLED, "in the middle of a validation, so without a new checkpoint")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint of a step that this validation was owed to, in the middle of an epoch."""
        if trainer.state.fn != TrainerFn.FITTING or trainer.sanity_checking or _leaves_nothing(trainer):
            return
        if epoch_is_over(trainer):
            return
        self._agreed = max(self._agreed, self._agree(trainer))
        accumulating = position_of(trainer).batch % trainer.accumulate_grad_batches
        if _run_ends(trainer) or (self._agreed and not accumulating):
            self._save_and_leave(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the checkpoint of a whole epoch, and leave if a rank wants to."""
        if epoch_is_over(trainer) and not _leaves_nothing(trainer):
            self._agreed = max(SAVE, self._agree(trainer))
            self._save_and_leave(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen."""
        self._listen()

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Leave if a rank was asked to: a test has nothing to keep."""
        if trainer.strategy.reduce_boolean_decision(self._signal is not None, all=False):
            self._leave(trainer, SIGNALLED, "in the middle of a test")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._ignore()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen no more."""
        self._ignore()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Listen no more; say where Ctrl-C met the training, and what is lost."""
        self._ignore()
        if isinstance(exception, KeyboardInterrupt) and trainer.state.fn == TrainerFn.FITTING:
            if not getattr(exception, "__notes__", None):
                exception.add_note(f"in epoch {trainer.current_epoch + 1}")
            if not self.path.exists():
                exception.__notes__[-1] += ", before its first checkpoint"

    def _agree(self, trainer: Any) -> int:
        """What the rank wants that has the most urgent wish."""
        now, wish = time.monotonic(), NOTHING
        if self._signal is not None:
            wish = SIGNALLED
        elif self.max_time is not None and now - self._started >= self.max_time:
            wish = OUT_OF_TIME
        elif now - self._saved >= EVERY.total_seconds():
            wish = SAVE
        if trainer.world_size == 1:  # a tensor there would have the process wait for its device every step
            return wish
        return int(trainer.strategy.reduce(torch.tensor(wish, device=trainer.strategy.root_device), reduce_op="max"))

    def _save_and_leave(self, trainer: Any) -> None:
        trainer.save_checkpoint(self.path)
        self._saved, agreed, self._agreed = time.monotonic(), self._agreed, NOTHING
        if agreed > SAVE and not _run_ends(trainer):
            self._leave(trainer, agreed, f"checkpoint {self.path}")

    def _listen(self, signals: Sequence[signal.Signals] = SIGNALS) -> None:
        self._signal = None
        if threading.current_thread() is threading.main_thread():  # Python gives signals to no other
            self._before = {number: signal.signal(number, self._notice) for number in signals}

    def _ignore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _notice(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT:
            if self._signal is not None:
                raise KeyboardInterrupt
            if is_first_process():  # print() may be what the signal met
                os.write(2, ASKED)
        if self._signal is None:
            self._signal, self._noticed = signal.Signals(number), time.monotonic()

    def _leave(self, trainer: Any, wish: int, what: str) -> None:
        if self._signal == signal.SIGINT:
            trainer.strategy.barrier("left")
            stop = KeyboardInterrupt()
            stop.add_note(f"at step {trainer.global_step}, {what}")
            raise stop
        if trainer.is_global_zero:
            name = self._signal.name if self._signal else "a signal to another process"
            reason = name if wish == SIGNALLED else "trainer.max_time"
            print(f"blockyard: stopped by {reason} at step {trainer.global_step}, {what}", file=sys.stderr, flush=True)
        if trainer.is_global_zero and wish == SIGNALLED:
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


def _leaves_nothing(trainer: Any) -> bool:
    return bool(trainer.fast_dev_run)


def _run_ends(trainer: Any) -> bool:
    """Whether this step is the last one; one that ends an epoch may be the last all the same."""
    stopped = trainer.should_stop and trainer.fit_loop._can_stop_early
    return bool(stopped or 0 <= trainer.max_steps <= trainer.global_step)


def _validation_follows(trainer: Any) -> bool:
    return bool(trainer.fit_loop.epoch_loop._should_check_val_fx(trainer.fit_loop._data_fetcher))

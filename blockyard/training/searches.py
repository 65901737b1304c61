"""A learning rate and a batch size by trial: short trainings of copies, of which nothing is left but the number."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.memory import garbage_collection_cuda, is_oom_error
from lightning.pytorch.utilities.seed import isolate_rng

SMOOTHING = 0.98
"""Of the loss, as in Smith's range test: what is left of the mean from step to step."""
SKIPPED = 10
"""Steps at the beginning of a range test whose slopes are not looked at: the mean has just begun."""


class _Range(Callback):
    """Raises the learning rate from step to step, and ends the training where the loss leaves its best far behind.

    Args:
        rates: The learning rate of each step.
        threshold: How many times the best loss is too much; None goes on to the last rate.
    """

    only_watches: ClassVar[bool] = False

    def __init__(self, rates: Sequence[float], threshold: float | None) -> None:
        self.rates, self.threshold = rates, threshold
        self.losses: list[float] = []
        self._sums: dict[int, list[float]] = {}
        self._mean = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn what share of the rate each group of parameters has."""
        optimizer = trainer.optimizers[0]
        base = optimizer.defaults["lr"]
        self._shares = [group["lr"] / base for group in optimizer.param_groups]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Set the rate of the step that comes next."""
        rate = self.rates[min(trainer.global_step, len(self.rates) - 1)]
        for group, share in zip(trainer.optimizers[0].param_groups, self._shares, strict=True):
            group["lr"] = rate * share
        self._step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take note of the loss, a mean over the batches of a step."""
        self._sums.setdefault(self._step, []).append(
            float(outputs["loss"] if isinstance(outputs, Mapping) else outputs)
        )
        if trainer.global_step == self._step:  # more batches of the same step are to come
            return
        loss = float(np.mean(self._sums.pop(self._step)))
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        self.losses.append(self._mean / (1 - SMOOTHING ** (len(self.losses) + 1)))
        if self.threshold is not None and len(self.losses) > 1 and self.losses[-1] > self.threshold * min(self.losses):
            trainer.should_stop = True


def find_learning_rate(
    task: Any,
    data: Any,
    trainer: Mapping[str, Any],
    min_lr: float = 1e-8,
    max_lr: float = 1,
    num_training_steps: int = 100,
    mode: Literal["exponential", "linear"] | str = "exponential",
    early_stop_threshold: float | None = 4.0,
) -> float:
    """The learning rate at which the loss falls fastest, to two digits (Smith, WACV 2017).

    It is raised from step to step of a training of a copy, in which every group of parameters keeps its share of it.

    Args:
        task: What is to be trained.
        data: On what.
        trainer: Options of the trainer.
        min_lr: The first rate.
        max_lr: The last one.
        num_training_steps: How many there are.
        mode: Whether they grow by a factor or by a summand.
        early_stop_threshold: How many times the best loss ends the search; None doesn't.

    Raises:
        ValueError: If the loss falls nowhere, or the range is none.
    """
    if not 0 < min_lr < max_lr or num_training_steps < 2 * SKIPPED:
        raise ValueError(
            f"LearningRateFinder: needed are 0 < min_lr < max_lr and num_training_steps of {2 * SKIPPED} or more, got "
            f"{min_lr:g}, {max_lr:g}, {num_training_steps}"
        )
    spaced = np.geomspace if mode.lower() == "exponential" else np.linspace
    search = _Range(spaced(min_lr, max_lr, num_training_steps).tolist(), early_stop_threshold)
    with suppress(FloatingPointError):  # the end of the range, and not of the run
        _train(task, data, trainer, num_training_steps, [search])
    losses = search.losses[SKIPPED:]
    slopes = np.gradient(losses) if len(losses) > 1 else np.zeros(1)
    if not slopes.min() < 0:
        raise ValueError(
            f"LearningRateFinder: the loss falls at none of {len(search.losses)} rates from {min_lr:g} on: another "
            "min_lr or max_lr, or more num_training_steps"
        )
    return float(f"{search.rates[SKIPPED + int(slopes.argmin())]:.1e}")


def find_batch_size(
    task: Any,
    data: Any,
    trainer: Mapping[str, Any],
    mode: Literal["power", "binsearch"] | str = "power",
    steps_per_trial: int = 3,
    init_val: int = 2,
    max_trials: int = 25,
    margin: float = 0.05,
    max_val: int = 8192,
) -> int:
    """The largest batch whose training fits into memory, of those tried.

    Args:
        task: What is to be trained.
        data: On what; its training split bounds the batch.
        trainer: Options of the trainer.
        mode: Whether doubling is all, or the interval that it ends in is halved on.
        steps_per_trial: Optimiser steps with each size.
        init_val: The first size.
        max_trials: How many sizes are tried.
        margin: Share of the memory's batch that halving leaves free.
        max_val: No larger size is tried.

    Raises:
        ValueError: If not even the first size fits, or batches have a form of their own.
    """
    if getattr(data, "instances", None):
        raise ValueError(
            "BatchSizeFinder: a batch of people has data.instances pictures of each, and its size decides among how "
            "many people the losses choose: set data.batch_size"
        )
    most = min(max_val, len(data.split("train")))
    fits = _Fits(task, data, trainer, steps_per_trial)
    good, size, tried = 0, min(init_val, most), 0
    while tried < max_trials and size > good:
        tried += 1
        if not fits(size):
            break
        good, size = size, min(2 * size, most)
    if not good:
        raise ValueError(f"BatchSizeFinder: not even a batch of {size} fits into memory: a smaller init_val")
    if mode.lower() == "binsearch" and size > good:
        while tried < max_trials and size - good > 1:
            tried, middle = tried + 1, (good + size) // 2
            good, size = (middle, size) if fits(middle) else (good, middle)
        good = max(1, int(good * (1 - margin)))
    return good


class _Fits:
    """Whether a batch of a size fits into memory."""

    def __init__(self, task: Any, data: Any, trainer: Mapping[str, Any], steps: int) -> None:
        self.task, self.data, self.trainer, self.steps = task, data, trainer, steps

    def __call__(self, size: int) -> bool:
        tried = _copy(self.data)
        tried.batch_size = size
        try:
            _train(self.task, tried, {**self.trainer, "accumulate_grad_batches": 1}, self.steps, [])
        except RuntimeError as error:
            if not (isinstance(error, torch.OutOfMemoryError) or is_oom_error(error)):
                raise
            return False
        finally:
            garbage_collection_cuda()
        return True


MACHINE = (
    *("accelerator", "precision", "deterministic", "benchmark", "detect_anomaly"),
    *("gradient_clip_val", "gradient_clip_algorithm", "accumulate_grad_batches"),
)
"""Options of the trainer that a trial has too."""

SILENT: dict[str, Any] = dict.fromkeys(
    ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
)


def _train(task: Any, data: Any, options: Mapping[str, Any], steps: int, callbacks: list[Callback]) -> None:
    """A few steps of a copy, without schedule and validation; nothing is written, and no random number is drawn."""
    changing = [one for one in options.get("callbacks") or [] if getattr(one, "only_watches", True) is False]
    with isolate_rng(), tempfile.TemporaryDirectory() as folder:
        tried = copy.deepcopy(task)
        tried.lr_scheduler, tried.warmup_epochs = None, 0
        Trainer(
            **{name: options[name] for name in MACHINE if options.get(name) is not None},
            devices=1,
            max_steps=steps,
            limit_val_batches=0,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            callbacks=[*callbacks, *copy.deepcopy(changing)],
            default_root_dir=folder,
            **SILENT,
        ).fit(tried, datamodule=_copy(data))


def _copy(data: Any) -> Any:
    """Data at their beginning, with the splits that have been read."""
    fresh = copy.copy(data)
    fresh.trainer, fresh._sampler, fresh._resumed = None, None, {}
    return fresh

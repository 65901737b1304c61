"""The trainer's options and the seed, looked at before data are read or a run has a folder."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Trainer
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.callbacks import GradientAccumulationScheduler
from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from blockyard.datamodules import DataModule
from blockyard.leaderboard.identity import SEED, SEEDS
from blockyard.mistakes import nearest
from blockyard.runs.machine import precision

NONE = ("callbacks", "logger", "plugins", "enable_checkpointing", "enable_progress_bar", "enable_model_summary")
"""What is not looked at: it is made later, or only shows."""
LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "num_sanity_val_steps": -1,
}
"""Least values that Lightning does not insist on: with others it divides by zero, or does something else in silence."""


def check_seed(seed: Any) -> None:
    """Refuse one that generators do not take, or that says that there is none.

    Args:
        seed: What was parsed; True lets Lightning draw one.

    Raises:
        ValueError: One line.
    """
    if seed is False or seed not in SEEDS:
        raise ValueError(f"{SEED}: {seed}; allowed is a whole number from 0 to {SEEDS[-1]}")


def settle(options: Any, trains: bool) -> None:
    """Give a precision the name of what runs; refuse values that no machine can train with.

    Args:
        options: The parsed ``trainer`` section.
        trains: Whether there will be a training.

    Raises:
        ValueError: If an option is out of range, one line.
    """
    options.precision = None if options.precision is None else precision(options.precision)
    if trains:
        _check_range(options)


def settle_warm_up(options: Any, warmup: int) -> None:
    """Refuse a warm-up that takes the whole run; a trial of a few batches has none.

    Args:
        options: The parsed ``trainer`` section.
        warmup: Its epochs.

    Raises:
        ValueError: If nothing would be left to train after it, one line.
    """
    epochs = options.max_epochs
    if not options.fast_dev_run and epochs is not None and 0 < epochs <= warmup:
        raise ValueError(
            f"the warm-up, model.warmup_epochs {warmup}, takes all of trainer.max_epochs {epochs}: "
            f"--model.warmup_epochs {epochs - 1} leaves an epoch to train"
        )


def fit_to_machine(options: Any, trains: bool) -> int:
    """Refuse what does not go on this machine.

    Args:
        options: The parsed ``trainer`` section. An evaluation in ``16-mixed`` without a GPU, where that does not exist,
            becomes one in ``32-true``, and says so.
        trains: Whether there will be a training.

    Returns:
        How many processes there will be.

    Raises:
        ValueError: If options do not go with each other or with this machine, one line.
    """
    trial = _trial(options)
    if trial.precision != precision(options.precision):
        if trains:
            raise ValueError(
                f"trainer.precision: {options.precision} needs a GPU, and this is a training without one: "
                f"{trial.precision} or 32-true"
            )
        rank_zero_warn(f"{options.precision} needs a GPU: this is evaluated in 32-true")
        options.precision = "32-true"
    alone = isinstance(trial.strategy, SingleDeviceStrategy) and _is_plain(options.strategy)
    if trains and options.sync_batchnorm and isinstance(trial.accelerator, CPUAccelerator) and not alone:
        raise ValueError(
            "trainer.sync_batchnorm: batch norms of CPU processes can't be synchronised, only those of GPUs: leave it "
            "away, and each process normalises by its own part of the batch"
        )
    return trial.world_size


def _check_range(options: Any) -> None:
    """What Lightning itself meets late, or never."""
    for name, least in LEAST.items():
        value = options.get(name)
        if value is not None and value < least:
            raise ValueError(f"trainer.{name}: {value} must be at least {least}")
    for name in ("limit_train_batches", "max_epochs", "max_steps"):
        if options.get(name) == 0 and not options.fast_dev_run:
            raise ValueError(f"trainer.{name}: 0 leaves nothing to train: it must be more than 0")
    if options.val_check_interval == 0:
        raise ValueError(
            "trainer.val_check_interval: 0 must be a share of an epoch above 0, or a number of batches; without "
            "validation, say trainer.limit_val_batches 0"
        )
    if options.enable_checkpointing is False:
        raise ValueError("trainer.enable_checkpointing: a run always writes checkpoints; trainer.fast_dev_run none")
    if options.barebones:
        raise ValueError("trainer.barebones: a run is logged and checkpointed, which this forbids: leave it away")


def _trial(options: Any) -> Trainer:
    """A trainer for the same machine, with those of the options that are plain values.

    Raises:
        ValueError: What Lightning says to them.
    """
    plain = {name: value for name, value in vars(options).items() if name not in NONE and _is_plain(value)}
    silent = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Trainer(**{**plain, **silent})
    except Exception as error:  # it has types of its own for each, and those of what it has not installed
        said = _of_accelerator(options.accelerator) or _of_strategy(options.strategy)
        raise ValueError(said or f"trainer: {' '.join(str(error).split())}") from error


def _of_accelerator(name: Any) -> str | None:
    """What is wrong with an accelerator that is not to be had here."""
    here = [one for one, known in sorted(AcceleratorRegistry.items()) if known["accelerator"].is_available()]
    if not isinstance(name, str) or name in ("auto", *here) or (name == "gpu" and {"cuda", "mps"} & {*here}):
        return None
    if name != "gpu" and name not in AcceleratorRegistry:
        return f"trainer.accelerator: no {name}; {nearest(name, ['auto', 'gpu', *AcceleratorRegistry])}"
    there = ", ".join(here)
    return f"trainer.accelerator: torch finds no {name} on this machine, where there is {there}; auto takes the best"


def _of_strategy(name: Any) -> str | None:
    """What is wrong with the name of a strategy."""
    known = ["auto", *StrategyRegistry.available_strategies()]
    if not isinstance(name, str) or name in known:
        return None
    return f"trainer.strategy: no {name}; {nearest(name, known)}"


def _is_plain(value: Any) -> bool:
    return isinstance(value, None | bool | int | float | str) or (
        isinstance(value, list) and all(map(_is_plain, value))
    )


def try_out(options: Mapping[str, Any], task: Any, data: DataModule) -> None:
    """Refuse, before a training has a folder, what it would end by soon.

    Args:
        options: The ``trainer`` section, instantiated.
        task: What is trained; it makes an optimiser, which is dropped.
        data: What it is trained on.

    Raises:
        ValueError: If limits and intervals do not go with the batches that there are, the optimiser refuses its
            options, or the objective makes its own steps and more is asked of them.
    """
    if not task.automatic_optimization:
        _refuse_beside_own_steps(options, type(getattr(task, "objective", task)).__name__)
    _check_batches(options, data)
    if options["overfit_batches"]:
        rank_zero_warn("trainer.overfit_batches: training reads the first batches of its split, in order")
    task.optimizer(task.parameter_groups.of(task.named_parameters()))


def _refuse_beside_own_steps(options: Mapping[str, Any], objective: str) -> None:
    """What Lightning does between the gradients and the optimiser's step, where it makes the step itself."""
    for name, usual in (("accumulate_grad_batches", 1), ("gradient_clip_val", 0)):
        if (options[name] or usual) != usual:
            raise ValueError(f"trainer.{name}: {objective} makes its own steps, one a batch: leave {name} away")
    if any(isinstance(callback, GradientAccumulationScheduler) for callback in _listed(options["callbacks"] or [])):
        raise ValueError(f"trainer.callbacks: {objective} makes its own steps, one a batch: nothing accumulates")


def _check_batches(options: Mapping[str, Any], data: DataModule) -> None:
    """Compare limits and intervals with the batches that there are."""
    if options["fast_dev_run"]:
        return
    batches = len(data.train_dataloader())
    if options["overfit_batches"] and getattr(data, "labels_per_class", None):
        raise ValueError("trainer.overfit_batches reads the split in order, whatever data.labels_per_class keeps")
    if options["overfit_batches"]:  # Lightning then reads in order, an incomplete last batch included
        batches = math.ceil(len(data.split("train")) / data.batch_size)
    train = _limited(options, "train", batches)
    val = _limited(options, "val", sum(map(len, _listed(data.val_dataloader()))))
    every, interval = options["check_val_every_n_epoch"], options["val_check_interval"]
    counted = isinstance(interval, int) or (isinstance(interval, float) and interval > 1)
    if counted and every and interval > train and val:
        raise ValueError(
            f"trainer.val_check_interval: an epoch has {train} batches and no {interval:g}: a share of it such as 0.5, "
            "fewer batches, or with trainer.check_val_every_n_epoch null any number of batches across epochs"
        )


def _limited(options: Mapping[str, Any], split: str, batches: int) -> int:
    """Batches of an epoch."""
    name = "overfit_batches" if options["overfit_batches"] else f"limit_{split}_batches"
    limit = options[name]
    if not isinstance(limit, float) or limit > 1:  # the parser may make 6.0 of 6
        return batches if limit is None else min(int(limit), batches)
    if batches and limit > 0 and int(batches * limit) == 0:
        raise ValueError(
            f"trainer.{name}: {limit} of {batches} batches of the {split} split is less than one: at least "
            f"{math.ceil(1000 / batches) / 1000:g}, or a number of batches"
        )
    return int(batches * limit)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

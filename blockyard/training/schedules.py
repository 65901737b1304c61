"""Learning rate schedules: what the configuration names, with a linear warm-up in front."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LRSchedulerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LinearLR, LRScheduler, SequentialLR

from blockyard.runs.position import planned_steps, steps_an_epoch

SHAPES: dict[str | None, Callable[[float], float]] = {
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "poly": lambda done: (1 - done) ** 0.9,
    None: lambda done: 1.0,
}
"""The share of the learning rate that is left when so much of the run after the warm-up is done."""


def schedule(
    trainer: Trainer,
    optimizer: Optimizer,
    scheduler: Literal["cosine", "poly"] | LRSchedulerCallable | None,
    interval: Literal["epoch", "step"],
    warmup_epochs: int,
    warmup_factor: float,
) -> OptimizerLRScheduler:
    """What ``configure_optimizers`` returns.

    A schedule starts when the warm-up ends, so its milestones do not count the epochs of the warm-up.

    Args:
        trainer: Says how many steps the run and an epoch have.
        optimizer: The optimiser to schedule.
        scheduler: Builds the schedule; ``"cosine"`` and ``"poly"`` (power 0.9) span the rest of the run, step by step.
        interval: How often a schedule built by a callable advances.
        warmup_epochs: Epochs of the linear warm-up.
        warmup_factor: Fraction of the learning rate that it starts from.

    Raises:
        ValueError: If a warm-up stands before a schedule that follows a metric, or fills the whole run, or the run has
            no end that a schedule could span.
    """
    if isinstance(scheduler, str):
        interval = "step"
    if isinstance(scheduler, str) and planned_steps(trainer) is None:
        raise ValueError(f"{scheduler} spans the whole run, which has no end: set trainer.max_epochs or max_steps")
    if scheduler is None and not warmup_epochs:
        return optimizer

    length = partial(_length, trainer, interval, warmup_epochs)
    if scheduler is None or isinstance(scheduler, str):
        main: Any = WholeRun(optimizer, SHAPES[scheduler], length, warmup_factor)
    else:
        main = scheduler(optimizer)
        if isinstance(main, ReduceLROnPlateau):
            if warmup_epochs:
                raise ValueError("warmup_epochs does not go with ReduceLROnPlateau, which follows a metric")
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": main, "monitor": main.monitor}}
        if warmup_epochs:
            main = AfterWarmUp(optimizer, main, length()[0], warmup_factor)
    chosen: LRSchedulerConfigType = {"scheduler": main, "interval": interval}
    return {"optimizer": optimizer, "lr_scheduler": chosen}


def _length(trainer: Trainer, interval: str, warmup_epochs: int) -> tuple[int, float]:
    """Steps, or epochs, of the warm-up and of the whole run."""
    warmup = warmup_epochs * (steps_an_epoch(trainer) if warmup_epochs and interval == "step" else 1)
    total = planned_steps(trainer) if interval == "step" else trainer.max_epochs
    if total is not None and 0 < total <= warmup:
        raise ValueError(f"the warm-up takes {warmup} of the run's {total} {interval}s: lower warmup_epochs")
    return warmup, math.inf if total is None or total < 0 else total


class WholeRun(LRScheduler):
    """A linear warm-up, and a shape that spans the rest of the run.

    The rate of a step depends on its number and on the length that the run has now, and on nothing else: of a
    checkpoint it takes over the number alone, so that a run made longer or shorter has the rates of its present length.

    Args:
        optimizer: The optimiser to schedule.
        shape: One of :data:`SHAPES`.
        length: Steps of the warm-up and of the whole run.
        factor: Fraction of the learning rate that the warm-up starts from.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        shape: Callable[[float], float],
        length: Callable[[], tuple[int, float]],
        factor: float,
    ) -> None:
        self.shape, self.length, self.factor = shape, length, factor
        self.warmup, self.total = length()
        super().__init__(optimizer)

    def get_lr(self) -> list[float | Any]:
        """The rates of step ``last_epoch``, as torch calls it."""
        return [base * self.share(self.last_epoch) for base in self.base_lrs]

    def share(self, step: int) -> float:
        """The share of the learning rate at a step, from 0."""
        if step < self.warmup:
            return self.factor + (1 - self.factor) * step / self.warmup
        return self.shape(min(1.0, (step - self.warmup) / (self.total - self.warmup)))

    def state_dict(self) -> dict[str, Any]:
        """The step, and the rates of it for whoever wants to know."""
        return {"last_epoch": self.last_epoch, "_last_lr": self._last_lr}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on at the step of a checkpoint, whichever schedule wrote it; the optimiser's rates are set anew."""
        self.last_epoch = state_dict["last_epoch"]
        self.warmup, self.total = self.length()
        self._last_lr = self.get_lr()
        for group, rate in zip(self.optimizer.param_groups, self._last_lr, strict=True):
            group["lr"] = rate


class AfterWarmUp(SequentialLR):
    """A schedule that begins where a linear warm-up ends.

    Args:
        optimizer: The optimiser to schedule.
        main: What comes after.
        steps: Steps, or epochs, of the warm-up.
        factor: Fraction of the learning rate that it starts from.
    """

    def __init__(self, optimizer: Optimizer, main: LRScheduler, steps: int, factor: float) -> None:
        first = LinearLR(optimizer, start_factor=factor, total_iters=steps)
        super().__init__(optimizer, [first, main], milestones=[steps])

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint stopped.

        Raises:
            ValueError: If the warm-up has another length now.
        """
        then, now = state_dict.get("_milestones", self._milestones), self._milestones
        if then != now:
            raise ValueError(
                f"the warm-up took {then[0]} steps and would now take {now[0]}: a schedule by steps can't go on with "
                "other steps an epoch"
            )
        super().load_state_dict(state_dict)

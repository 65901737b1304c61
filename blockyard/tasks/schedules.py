"""Learning rate schedules: what the configuration names, with a linear warm-up in front."""

from __future__ import annotations

from typing import Literal

from lightning.pytorch import Trainer
from lightning.pytorch.cli import LRSchedulerCallable, ReduceLROnPlateau
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LinearLR, LRScheduler, PolynomialLR, SequentialLR


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
        ValueError: If a warm-up stands before a schedule that follows a metric, or fills the whole run.
    """
    if isinstance(scheduler, str):
        interval = "step"
    epochs = trainer.max_epochs or -1
    total = int(trainer.estimated_stepping_batches) if interval == "step" else epochs
    warmup = warmup_epochs
    if warmup_epochs and interval == "step":
        warmup *= total // epochs if epochs > 0 else int(trainer.num_training_batches)
    if 0 < total <= warmup:
        raise ValueError(f"the warm-up takes {warmup} of the run's {total} {interval}s: lower warmup_epochs")
    main = _main(optimizer, scheduler, max(1, total - warmup))
    if main is None and not warmup:
        return optimizer
    if isinstance(main, ReduceLROnPlateau):
        if warmup:
            raise ValueError("warmup_epochs does not go with ReduceLROnPlateau, which follows a metric")
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": main, "monitor": main.monitor}}
    if warmup:
        main = _warm_up(optimizer, main, warmup, warmup_factor)
    chosen: LRSchedulerConfigType = {"scheduler": main, "interval": interval}  # type: ignore[typeddict-item]
    return {"optimizer": optimizer, "lr_scheduler": chosen}


def _main(
    optimizer: Optimizer, scheduler: Literal["cosine", "poly"] | LRSchedulerCallable | None, steps: int
) -> LRScheduler | ReduceLROnPlateau | None:
    if scheduler is None:
        return None
    if scheduler == "poly":
        return PolynomialLR(optimizer, steps, power=0.9)
    return CosineAnnealingLR(optimizer, steps) if scheduler == "cosine" else scheduler(optimizer)


def _warm_up(optimizer: Optimizer, main: LRScheduler | None, steps: int, factor: float) -> LRScheduler:
    first = LinearLR(optimizer, start_factor=factor, total_iters=steps)
    return SequentialLR(optimizer, [first, main or ConstantLR(optimizer, factor=1.0)], milestones=[steps])

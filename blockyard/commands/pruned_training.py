"""Training a pruned network on for some epochs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import Trainer

from blockyard.composing.bar import Bar
from blockyard.composing.suite import SuiteCLI


@dataclass
class Cost:
    """What trainings have cost together.

    Attributes:
        seconds: By the clock.
        epochs: How many.
        steps: Of the optimiser.
    """

    seconds: float = 0.0
    epochs: int = 0
    steps: int = 0

    def __iadd__(self, other: Cost) -> Cost:
        self.seconds, self.epochs = self.seconds + other.seconds, self.epochs + other.epochs
        self.steps += other.steps
        return self

    def added_to(self, before: dict[str, Any]) -> dict[str, Any]:
        """What a checkpoint says of its training's cost, with this one."""
        mine = {"training_seconds": self.seconds, "epochs": self.epochs, "steps": self.steps}
        return {
            **before,
            **{name: before[name] + value for name, value in mine.items() if before.get(name) is not None},
        }


def train(cli: SuiteCLI, epochs: int, factor: float) -> Cost:
    """Train the network of a task, in place, by its own objective, optimiser and schedule, without warm-up.

    Args:
        cli: With task, data and device.
        epochs: How many; the schedule is over at their end.
        factor: Of the learning rate.
    """
    task: Any = cli.model
    made = task.optimizer

    def slower(parameters: Any) -> Any:
        optimizer = made(parameters)
        for group in optimizer.param_groups:
            group["lr"] *= factor
        return optimizer

    task.optimizer, task.warmup_epochs = slower, 0
    trainer = Trainer(
        max_epochs=epochs,
        accelerator=cli.trainer.accelerator,
        devices=1,
        precision=cli.trainer.precision,
        callbacks=[Bar()],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
    )
    start = time.perf_counter()
    task.train()
    trainer.fit(task, datamodule=cli.datamodule)
    task.optimizer = made
    return Cost(time.perf_counter() - start, epochs, trainer.global_step)

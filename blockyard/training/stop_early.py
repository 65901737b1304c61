"""Ending a training that no longer gets better."""

from __future__ import annotations

from typing import Any, ClassVar

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from blockyard.metrics import Metric


class StopEarly(EarlyStopping):
    """Ends the training when what a validation ranks by, mostly the task's primary metric, has not become better.

    A run that was killed after it had come to its end does not begin another epoch when it is resumed.

    Args:
        patience: Validations in a row that were none the better.
        min_delta: Better is what is better by more than this.

    Raises:
        ValueError: If ``patience`` is not positive.
    """

    only_watches: ClassVar[bool] = False

    def __init__(self, patience: int = 10, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"StopEarly: patience={patience} must be positive")
        super().__init__("", min_delta, patience, mode="max", check_on_train_epoch_end=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learn what that is."""
        task: Any = pl_module
        validated: Metric = task.validated_metric
        self.monitor = f"val/{validated.name}"
        if self.mode != validated.mode:  # Lightning keeps both with the sign that the mode has
            self.mode, self.min_delta, self.best_score = validated.mode, -self.min_delta, -self.best_score
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep to what was decided before the checkpoint was written."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

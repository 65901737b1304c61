"""Ending a training that no longer gets better."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping


class StopEarly(EarlyStopping):
    """Ends the training when what a validation ranks by has not risen for a while: the task's primary metric, mostly.

    A run that was killed after it had come to its end does not begin another epoch when it is resumed.

    Args:
        patience: Validations in a row without a rise.
        min_delta: A rise is one by more than this.

    Raises:
        ValueError: If ``patience`` is not positive.
    """

    def __init__(self, patience: int = 10, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"StopEarly: patience={patience} must be positive")
        super().__init__("", min_delta, patience, mode="max", check_on_train_epoch_end=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Learn what that is."""
        task: Any = pl_module
        self.monitor = f"val/{task.validated_metric}"
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep to what was decided before the checkpoint was written."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True

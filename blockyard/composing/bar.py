"""The progress bar of a training: one line of 80 columns."""

from __future__ import annotations

from typing import Any, ClassVar

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console
from rich.progress import BarColumn

WIDE = 120
"""Columns of a terminal that has room for a long bar."""


class Bar(RichProgressBar):
    """Lightning's bar without the version of a logger, its metrics by their names alone."""

    only_watches: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__(theme=RichProgressBarTheme(metrics_text_delimiter=" ", metrics_format=".3g"))

    @property
    def predict_description(self) -> str:
        """What stands before the bar: what the network is used for, such as features, or a prediction."""
        return str(getattr(self.trainer.lightning_module, "doing", super().predict_description))

    def _get_train_description(self, current_epoch: int) -> str:
        """Counts epochs from 1, as all else that is said of them; as wide as the line of a validation."""
        last = self.trainer.max_epochs
        known = "" if last is None or last < 0 else f"/{last}"
        return f"Epoch {current_epoch + 1}{known}".ljust(len(self.validation_description))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """What stands behind the bar: ``loss`` for ``train/loss``."""
        shown = super().get_metrics(trainer, pl_module)
        return {name.partition("/")[2] or name: value for name, value in shown.items() if name != "v_num"}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar, unless a training goes on: what reports print comes after it."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn != TrainerFn.FITTING:
            self._stop_progress()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar, likewise."""
        super().on_test_end(trainer, pl_module)
        self._stop_progress()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the bar, likewise."""
        super().on_predict_end(trainer, pl_module)
        self._stop_progress()

    def _stop_progress(self) -> None:
        if not self._progress_stopped:  # once: it ends by an empty line in a log
            super()._stop_progress()

    def configure_columns(self, trainer: Trainer) -> list[Any]:
        """Lightning's, with a bar so short that its line fits the terminal."""
        columns: list[Any] = super().configure_columns(trainer)
        for column in columns:
            if isinstance(column, BarColumn):
                column.bar_width = 10 if Console().width < WIDE else 40
        return columns

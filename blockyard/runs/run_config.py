"""What a run is, beside its results and inside its checkpoints: its configuration and the names of its classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from blockyard import files
from blockyard.leaderboard.identity import FOUND

CONFIG_KEY = "blockyard_config"
"""Where a checkpoint keeps the resolved configuration of its run."""
VOCABULARY_KEY = "blockyard_vocabulary"
"""Where it keeps what the network's outputs mean, so that they can be named where the data are not."""


class RunConfig(Callback):
    """Writes ``config.yaml`` when training starts; stores the same values, and the classes, in every checkpoint.

    Loggers that keep runs elsewhere, such as ``WandbLogger``, get the same values.

    Args:
        config: The resolved configuration, plain values only.
        directory: Directory of the run.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, config: dict[str, Any], directory: Path) -> None:
        self.config = config
        self.directory = directory

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the file, with what the task counted or found to train with, and say where everything goes."""
        if found := getattr(pl_module, "found_options", None):
            self.config[FOUND] = {**(self.config.get(FOUND) or {}), **found}
        if trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            files.write(self.directory / "config.yaml", yaml.safe_dump(self.config, sort_keys=False).encode())
            print(f"run: {self.directory}")
            for logger in trainer.loggers:
                if not isinstance(logger, CSVLogger | TensorBoardLogger):  # theirs lie beside config.yaml
                    logger.log_hyperparams(self.config)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the configuration and the classes to the checkpoint."""
        checkpoint[CONFIG_KEY] = self.config
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        checkpoint[VOCABULARY_KEY] = data.vocabulary.items()

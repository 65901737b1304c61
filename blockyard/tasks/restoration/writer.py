"""Restored pictures, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard import files
from blockyard.tasks.picture_files import picture_files
from blockyard.tasks.restoration.report import picture_png


class PictureWriter(Callback):
    """Writes each picture that ``predict`` restores, as soon as it is there; every process writes its own.

    The files are PNG, with the names and folders of the inputs.

    Args:
        directory: The folder ``restored`` goes here.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.folder = directory / "restored"
        self._files: list[Path] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Settle the names, before anything is written.

        Raises:
            ValueError: If two inputs would have one file, or an input's name leads out of the folder.
        """
        self._files = picture_files(trainer.datamodule.names("predict"), "picture")  # type: ignore[attr-defined]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[list[Tensor], Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the pictures of a batch."""
        for picture, index in zip(outputs[0], outputs[1].tolist(), strict=True):
            files.write(self.folder / self._files[index], picture_png(picture))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are."""
        if trainer.is_global_zero:
            print(f"{len(self._files)} pictures in {self.folder}")

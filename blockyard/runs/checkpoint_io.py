"""Checkpoints that are there whole or not at all, on any file system, and that execute nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from blockyard import files


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning writes it to the system's folder for temporary files. Where that is another file system than the run's, as
    on most clusters, the move is a copy, and a job that ends during it leaves half a checkpoint in place of the last.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write or replace a checkpoint.

        Args:
            checkpoint: State of the training.
            path: Where it goes; addresses such as ``s3://…`` are left to Lightning.
            storage_options: Not supported, as in the base class.

        Raises:
            OSError: If it can't be written; the one before it is untouched.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        try:
            files.save(place, lambda file: _save(checkpoint, file))
        except OSError as error:
            if place.exists():
                error.add_note("the checkpoint that is there stays whole")
            raise

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any | None = lambda storage, loc: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Read a checkpoint, whatever is said elsewhere without executing anything that it holds.

        Args:
            path: The file.
            map_location: As in :func:`torch.load`.
            weights_only: Not looked at: True.
        """
        return super().load_checkpoint(path, map_location, weights_only=True)


def _save(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    try:
        torch.save(checkpoint, file)
    except RuntimeError as error:  # what torch says on closing its archive hides what the disk said
        if isinstance(error.__context__, OSError):
            raise error.__context__ from error
        raise

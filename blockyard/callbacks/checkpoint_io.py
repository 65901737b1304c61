"""Checkpoints that are there whole or not at all, on any file system, and that execute nothing."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO


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
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)

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

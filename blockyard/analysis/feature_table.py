"""Room for the features of a whole split: in memory, or in a file that is mapped where they are too many for that."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

IN_MEMORY = 2**30
"""Bytes of features that are held in memory; of more, the system holds as much as it has room for."""


class FeatureTable:
    """Rows ``(n, D)`` float32 that come in parts.

    A file has no name and is gone with the table. Its room is taken at once, so that a full disk is told before
    anything is computed.

    Args:
        capacity: Rows at most.
        folder: Where a file goes, if there is such a folder; otherwise where temporary files do.
    """

    def __init__(self, capacity: int, folder: Path) -> None:
        self.capacity, self.folder, self.filled = capacity, folder, 0
        self._room: NDArray[np.float32] | None = None  # a tensor made in inference can't be filled outside of it

    def add(self, rows: Tensor) -> None:
        """Append rows ``(m, D)``.

        Raises:
            ValueError: If there is no room for as many as there may be, one line.
            FloatingPointError: If a number is not finite.
        """
        if not rows.isfinite().all():
            raise FloatingPointError("the network's output is not a number: its weights have diverged")
        if self._room is None:
            self._room = self._room_for(rows.shape[1])
        self._room[self.filled : self.filled + len(rows)] = rows.numpy()
        self.filled += len(rows)

    @property
    def rows(self) -> Tensor:
        """What was added, ``(n, D)``; ``(0, 0)`` if nothing was."""
        return torch.empty(0, 0) if self._room is None else torch.from_numpy(self._room[: self.filled])

    def _room_for(self, width: int) -> NDArray[np.float32]:
        size = 4 * self.capacity * width
        if size <= IN_MEMORY:
            return np.empty((self.capacity, width), np.float32)
        place = self.folder if self.folder.is_dir() else Path(tempfile.gettempdir())
        try:
            with tempfile.TemporaryFile(dir=place) as file:
                if hasattr(os, "posix_fallocate"):  # a mapped page that finds no room ends the process
                    os.posix_fallocate(file.fileno(), 0, size)
                return np.memmap(file, np.float32, "w+", shape=(self.capacity, width))
        except OSError as error:
            raise ValueError(f"{place}: no room for {size / 1e9:.1f} GB of features: {error.strerror}") from error


def is_mapped(vectors: Tensor) -> bool:
    """Whether vectors ``(n, D)`` are too many to be held, and to be moved to a GPU."""
    return vectors.nbytes > IN_MEMORY

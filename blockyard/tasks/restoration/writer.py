"""Restored pictures, as files."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from blockyard import files
from blockyard.tasks.picture_files import PictureFiles
from blockyard.tasks.restoration.report import picture_png


class PictureWriter(PictureFiles):
    """Writes each picture that ``predict`` restores into the folder ``restored``.

    Args:
        directory: That folder goes here.
    """

    what: ClassVar[str] = "picture"
    folder: ClassVar[str] = "restored"

    def write(self, task: Any, data: Any, predicted: Tensor, index: int) -> None:
        """Write the picture ``(C, H, W)``."""
        files.write(self.place(self.folder, index), picture_png(predicted))

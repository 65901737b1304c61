"""Restored pictures, as files."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from blockyard.tasks.picture_files import PictureFiles
from blockyard.tasks.restoration.report import picture_png


class PictureWriter(PictureFiles):
    """Writes each picture that ``predict`` restores into the folder ``restored``.

    Args:
        directory: That folder goes here.
    """

    what: ClassVar[str] = "picture"
    folder: ClassVar[str] = "restored"

    def contents(self, task: Any, data: Any, predicted: Tensor, index: int) -> dict[str, bytes]:
        """The picture ``(C, H, W)``."""
        return {self.folder: picture_png(predicted)}

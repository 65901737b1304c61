"""What a restoration minimises by itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from blockyard.objectives.base import Default, Logged


class PictureError(Default):
    """How far restored pictures are from the true ones, as the task's ``loss`` measures it."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The mean for ``input`` and ``target`` ``(B, C, H, W)``, a scalar."""
        return task.loss(task(batch["input"]), batch["target"]), {}

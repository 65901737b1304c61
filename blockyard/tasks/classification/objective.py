"""What a classification minimises by itself."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from blockyard.objectives.base import Default, Logged


class FromLabels(Default):
    """The task's ``loss`` of what the network says of a batch, whose samples and labels are mixed if they are to be."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, *S)`` with ``target`` ``(B,)``, or ``(B, K)`` of several labels a sample."""
        return task.training_loss(*task.mixed(batch)), {}

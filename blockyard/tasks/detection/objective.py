"""What a detection minimises by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from blockyard.objectives.base import Default, Logged


class DetectorLosses(Default):
    """The sum of the detector's own losses of boxes ``(n, 4)`` and their classes ``(n,)``, each of which is logged."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of ``input`` ``(B, C, H, W)`` and ``target``, B dictionaries of boxes and labels."""
        losses: Logged = task.network.losses(batch["input"], batch["target"])
        return torch.stack(list(losses.values())).sum(), losses

"""What a segmentation minimises by itself."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from blockyard.objectives.base import Default, Logged


class HeadLosses(Default):
    """The sum of the losses of all heads; each is logged, and so is what heads say of themselves besides."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The sum for ``input`` ``(B, C, h, w)`` and ``target`` ``(B, h, w)``."""
        parts: dict[str, Tensor] = task.network.losses(batch["input"], batch["target"])
        loss = torch.stack([value.mean() for name, value in parts.items() if "loss" in name]).sum()
        return loss, {name: value.detach().mean() for name, value in parts.items()}

"""Means between the average and the maximum over the positions."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.poolings.base import Pooling

SMALL = 1e-6
"""What smaller values count as: the logarithm in the power's slope has no bound at zero."""


class GeM(Pooling):
    """The generalised mean of every channel, (1/N Σᵢ xᵢᵖ)^(1/p): the average for p = 1, towards the maximum as p grows.

    It is made for maps without negative values, as a rectifier leaves them: what is below 1e-6 counts as that.

    Args:
        channels: Channels C of the feature map; the length of the vector too.
        power: p at the start.
        learned: Whether p is trained: one number.

    Raises:
        ValueError: If ``power`` is not positive.
    """

    paper: ClassVar[str] = "Radenović et al., Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019"

    def __init__(self, channels: int, power: float = 3.0, learned: bool = True) -> None:
        super().__init__(channels, channels)
        if not power > 0:
            raise ValueError(f"GeM: power must be positive, got {power}")
        self.power = nn.Parameter(torch.tensor(float(power)), requires_grad=learned)

    def pool(self, signal: Tensor) -> Tensor:
        """Pool ``(B, C, N)`` to ``(B, C)``."""
        with torch.autocast(signal.device.type, enabled=False):
            values = (signal.float() if signal.itemsize < 4 else signal).clamp_min(SMALL)
            # a mean of powers scales with its values: divided by the largest, no power of them is too small or large
            largest = values.detach().amax(2, keepdim=True)
            power = self.power.to(values.dtype)
            mean = (values / largest).pow(power).mean(2).pow(1 / power) * largest.squeeze(2)
            return mean.to(signal.dtype)

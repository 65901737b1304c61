"""What every front end promises."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class FrontEnd(nn.Module, ABC):
    """Waveforms ``(B, 1, L)`` to bands over time, ``(B, *shape, T)``, clip by clip, without parameters.

    Attributes:
        shape: ``(1, bands)``, a picture of one channel, or ``(bands,)``, a sequence whose channels they are.
        sample_rate: Samples a second that it was made for.
    """

    shape: tuple[int, ...]
    sample_rate: int

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Bands ``(B, *shape, T)`` of waveforms ``(B, 1, L)``."""


def standardised(y: Tensor) -> Tensor:
    """Bands ``(B, bands, T)`` less each clip's mean, over its standard deviation."""
    std, mean = torch.std_mean(y, (1, 2), correction=0, keepdim=True)
    return (y - mean) / std.clamp(min=1e-3)  # silence is constant but for rounding: it stays near zero

"""A linear map of the channels, position by position."""

from __future__ import annotations

from torch import Tensor, nn


class Pointwise(nn.Linear):
    """A linear map of the channels of each position, ``(B, C_in, *S)`` to ``(B, C_out, *S)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Map each position of ``(B, C, *S)``; the memory that comes out lies channels last."""
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)

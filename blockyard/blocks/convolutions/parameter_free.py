"""Layers without parameters in place of convolutions (PfLayer)."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot


class PFLayer(Block):
    """Y = max over a window of x, each channel alone, at the stride of the replaced module.

    The paper's ResNet-50 has it in place of the 3×3 convolutions, without the norm behind them: a second plug puts
    the window 1, which is the identity, in place of ``layer*.*.bn2``.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        window: Odd side of the window.
        host: The module that is replaced; ``plug`` hands it over.

    Raises:
        ValueError: If ``window`` is even or not positive, or the host changes the channels.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "convolution"
    paper: ClassVar[str] = "Han et al., Learning Features with Parameter-Free Layers, ICLR 2022"

    def __init__(self, channels: int, spatial_dims: int = 2, *, window: int = 3, host: nn.Module | None = None) -> None:
        super().__init__(channels, spatial_dims)
        if window < 1 or window % 2 == 0:
            raise ValueError(f"PFLayer: window must be odd and positive, got {window}")
        if getattr(host, "out_channels", channels) != channels:
            raise ValueError(f"PFLayer keeps its {channels} channels; it cannot replace {host}")
        self.window = window
        self.stride = getattr(host, "stride", 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape, divided by the host's stride."""
        pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[self.spatial_dims - 1]
        return pool(x, self.window, self.stride, self.window // 2)

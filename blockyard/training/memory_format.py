"""Channels last: how the maps of convolutions of rank 2 and 3 lie in memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By number of axes, batch and channels included."""
CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def with_channels_last(x: Tensor) -> Tensor:
    """The same values; those of ``(B, C, H, W)`` and ``(B, C, T, H, W)`` lie so that channels are neighbours."""
    return x.contiguous(memory_format=FORMATS[x.dim()]) if x.dim() in FORMATS else x


def put_channels_last(network: nn.Module) -> None:
    """Lay out the weights of all convolutions so, after which their outputs are too.

    Raises:
        ValueError: If there is none of rank 2 or 3.
    """
    found = [module for module in network.modules() if isinstance(module, CONVOLUTIONS)]
    if not found:
        raise ValueError(f"channels_last: {type(network).__name__} has no convolution of rank 2 or 3")
    for module in found:
        module.weight.data = with_channels_last(module.weight.data)

"""What a neck of mmsegmentation makes of a backbone's maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from blockyard.backbones import Stage
from blockyard.plugging import undisturbed


def neck_stages(neck: nn.Module, stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The maps of a neck; they are no stages of the network, so they have no path.

    Args:
        neck: Maps to maps.
        stages: The maps that it is given.
    """
    coarsest = max(stage.stride for stage in stages)
    maps = [torch.zeros(1, s.channels, 2 * coarsest // s.stride, 2 * coarsest // s.stride) for s in stages]
    with undisturbed(neck):
        outputs = neck(maps)
    return tuple(Stage("", x.shape[1], 2 * coarsest // x.shape[3]) for x in outputs)

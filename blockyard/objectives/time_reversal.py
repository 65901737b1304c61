"""A pretext for sounds, series and clips without labels: whether time runs forwards."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from blockyard.objectives.versions import WhichVersion


class TimeReversal(WhichVersion):
    """Each sample of a batch forwards and backwards, and a linear classifier of which of the two it sees.

    The question is that of Wei, Lim, Zisserman, Freeman: Learning and Using the Arrow of Time, CVPR 2018; for sounds
    and other series it takes the place of :class:`Rotation`. No label is read. A step takes 2 B samples for a batch of
    B, both directions of a sample in the same step.

    The classifier sees what the network knows of a sample before it answers its task: parameters that do not lead
    there, such as the task's own classifier, stay as they are, which is said in one line.

    What is the same backwards, such as a steady tone, can't be told, so that accuracy stays below 1.
    """

    paper: ClassVar[str] = "Wei et al., Learning and Using the Arrow of Time, CVPR 2018"
    primary_metric: ClassVar[str | None] = "direction_accuracy"
    count: ClassVar[int] = 2
    axes: ClassVar[tuple[int, int]] = (2, 4)
    shows: ClassVar[str] = "plays sounds, series and clips backwards"
    instead: ClassVar[str] = "Rotation"

    def versions(self, x: Tensor) -> Tensor:
        """``(B, C, T, *S)`` forwards, then all backwards: 2 B of them."""
        return torch.cat([x, x.flip(2)])

"""A pretext for pictures without labels: which way up they are."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from blockyard.objectives.versions import WhichVersion

TURNS = 4


class Rotation(WhichVersion):
    """Each picture of a batch in all four quarter turns, and a linear classifier of which of the four it sees.

    Gidaris, Singh, Komodakis: Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018. No label
    is read. A step takes 4 B pictures for a batch of B, all four turns of a picture in the same step. Of pictures that
    are not square the middle square is taken, for their shape would give the turn away; of clips every frame is turned
    alike.

    The classifier sees what the network knows of a picture before it answers its task: parameters that do not lead
    there, such as the task's own classifier, stay as they are, which is said in one line.

    What looks the same upside down can't be told, so that accuracy stays below 1: among digits 0, 1 and 8, and 6 and 9,
    each of which is the other's turn.
    """

    paper: ClassVar[str] = (
        "Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018"
    )
    primary_metric: ClassVar[str | None] = "rotation_accuracy"
    count: ClassVar[int] = TURNS
    axes: ClassVar[tuple[int, int]] = (3, 4)
    shows: ClassVar[str] = "turns pictures and frames of clips"
    instead: ClassVar[str] = "TimeReversal"

    def versions(self, x: Tensor) -> Tensor:
        """As :func:`turns`, of ``(B, C, *T, H, W)``."""
        return turns(x)


def turns(x: Tensor) -> Tensor:
    """The middle squares of ``(B, C, *T, H, W)`` as they are, then all a quarter turn on, and so forth: 4 B of them.

    A quarter turn is :func:`torch.rot90`'s, from the axis of height to that of width: anticlockwise.
    """
    side = min(x.shape[-2:])
    top, left = ((length - side) // 2 for length in x.shape[-2:])
    square = x[..., top : top + side, left : left + side]
    return torch.cat([square.rot90(quarter, (-2, -1)) for quarter in range(TURNS)])

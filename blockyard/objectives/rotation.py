"""A pretext for pictures without labels: which way up they are."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.objectives.base import Learner, Logged, Objective

TURNS = 4


class Rotation(Objective):
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
    slot: ClassVar[str] = "objective"
    primary_metric: ClassVar[str | None] = "rotation_accuracy"
    classifier: nn.Linear

    def __init__(self) -> None:
        super().__init__()

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Make the classifier.

        Args:
            task: Holds the network.
            input_shape: ``(C, H, W)`` of pictures or ``(C, T, H, W)`` of clips.

        Raises:
            ValueError: If the samples have no height and width.
        """
        if len(input_shape) not in (3, 4):
            raise ValueError(f"objective: Rotation turns pictures and frames of clips; the samples are {input_shape}")
        vectors = self.vectors_of(task, turns(torch.zeros(1, *input_shape)))
        self.classifier = nn.Linear(vectors.shape[1], TURNS, dtype=vectors.dtype)

    def loss(self, task: Learner, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """Mean cross entropy of all turns, and the share of them that is told.

        Args:
            task: Gives the vectors.
            batch: ``input`` ``(B, C, H, W)`` or ``(B, C, T, H, W)``, or a list of pictures ``(C, H, W)`` of any sizes.
        """
        inputs = batch["input"]
        groups = [picture[None] for picture in inputs] if isinstance(inputs, list) else [inputs]
        logits = torch.cat([self.classifier(task.vectors(turns(group))) for group in groups])
        target = torch.cat([turn_of(group) for group in groups])
        accuracy = (logits.argmax(1) == target).float().mean()
        return F.cross_entropy(logits, target), {"rotation_accuracy": accuracy}


def turns(x: Tensor) -> Tensor:
    """The middle squares of ``(B, C, *T, H, W)`` as they are, then all a quarter turn on, and so forth: 4 B of them.

    A quarter turn is :func:`torch.rot90`'s, from the axis of height to that of width: anticlockwise.
    """
    side = min(x.shape[-2:])
    top, left = ((length - side) // 2 for length in x.shape[-2:])
    square = x[..., top : top + side, left : left + side]
    return torch.cat([square.rot90(quarter, (-2, -1)) for quarter in range(TURNS)])


def turn_of(x: Tensor) -> Tensor:
    """Which turn each of :func:`turns` is, 0 to 3, ``(4 B,)``."""
    return torch.arange(TURNS, device=x.device).repeat_interleave(len(x))

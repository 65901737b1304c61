"""Pretexts that show each sample in several versions, and ask which of them it is."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blockyard.objectives.base import Learner, Logged, Objective


class WhichVersion(Objective):
    """Each sample of a batch in all versions, and a linear classifier of which of them it sees.

    No label is read. A step takes n B samples for a batch of B, all n versions of a sample in the same step.

    The classifier sees what the network knows of a sample before it answers its task: parameters that do not lead
    there, such as the task's own classifier, stay as they are, which is said in one line.
    """

    slot: ClassVar[str] = "objective"
    count: ClassVar[int]
    """How many versions n there are."""
    axes: ClassVar[tuple[int, int]]
    """Axes ``(C, *T)`` that samples may have."""
    shows: ClassVar[str]
    """What it does to which samples, in words."""
    instead: ClassVar[str]
    """What other samples have."""
    classifier: nn.Linear

    def __init__(self) -> None:
        super().__init__()

    @abstractmethod
    def versions(self, x: Tensor) -> Tensor:
        """Samples ``(B, C, *T)`` in the first version, then all in the second, and so forth: n B of them."""

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Make the classifier.

        Args:
            task: Holds the network.
            input_shape: ``(C, *T)`` of a sample.

        Raises:
            ValueError: If such samples have no such versions.
        """
        if len(input_shape) not in self.axes:
            name = type(self).__name__
            raise ValueError(
                f"objective: {name} {self.shows}; the samples are {input_shape}, for which there is {self.instead}"
            )
        vectors = self.vectors_of(task, self.versions(torch.zeros(1, *input_shape)))
        self.classifier = nn.Linear(vectors.shape[1], self.count, dtype=vectors.dtype)

    def loss(self, task: Learner, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """Mean cross entropy of all versions, and the share of them that is told.

        Args:
            task: Gives the vectors.
            batch: ``input`` ``(B, C, *T)``, or a list of samples ``(C, *T)`` of any sizes.
        """
        inputs = batch["input"]
        groups = [sample[None] for sample in inputs] if isinstance(inputs, list) else [inputs]
        logits = torch.cat([self.classifier(task.vectors(self.versions(group))) for group in groups])
        target = torch.cat([version_of(group, self.count) for group in groups])
        accuracy = (logits.argmax(1) == target).float().mean()
        return F.cross_entropy(logits, target), {str(self.primary_metric): accuracy}


def version_of(x: Tensor, count: int) -> Tensor:
    """Which version each of ``count`` versions of samples ``(B, C, *T)`` is, 0 to ``count`` - 1, ``(count B,)``."""
    return torch.arange(count, device=x.device).repeat_interleave(len(x))

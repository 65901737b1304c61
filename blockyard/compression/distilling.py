"""Training a smaller network briefly to say what a larger one says."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def distil(
    student: nn.Module,
    teacher: nn.Module,
    batches: Callable[[int], Iterable[Tensor]],
    epochs: int,
    optimizer: torch.optim.Optimizer,
) -> int:
    """Lower the mean squared difference of logits, whatever the labels.

    Ba & Caruana, Do Deep Nets Really Need to be Deep?, NeurIPS 2014.

    Args:
        student: Gives logits ``(B, K)``; trained in place, and in evaluation afterwards.
        teacher: Gives such logits; left as it is, in evaluation.
        batches: The inputs ``(B, C, *S)`` of an epoch, by its number from 0.
        epochs: How many.
        optimizer: Of the student's weights.

    Returns:
        How many steps were made.

    Raises:
        FloatingPointError: If the student's logits are no longer finite; one line.
    """
    steps = 0
    for epoch in range(epochs):
        for x in batches(epoch):
            with torch.no_grad():
                wanted = teacher(x)
            loss = nn.functional.mse_loss(student.train()(x), wanted)
            if not loss.isfinite():
                raise FloatingPointError("distillation: the logits of the smaller network are no longer finite")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps += 1
    student.eval()
    return steps

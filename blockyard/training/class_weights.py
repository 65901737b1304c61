"""Classes that count unequally in a training loss."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F


class WeightedCrossEntropy(nn.CrossEntropyLoss):
    """torch's cross entropy with a factor w, ``(K,)``, for each class: Σ w_y l / Σ w_y over the samples of a batch.

    On several processes both sums are those of the global batch, so that the loss does not depend on how samples fall
    on processes; torch's own would divide by the weights of a process's part. Where all of a batch have weight 0, there
    is nothing to divide by, and the loss is its sum.

    For shares of the classes t, as of mixed samples, it is Σ w_k t_k (−log p_k) / B, as torch has it. Smoothing comes
    before the factors: the mass that is spread over all classes is weighed by theirs.

    The factors are those of :func:`give_weights`; the arguments are torch's.
    """

    weight: Tensor

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of logits ``(B, K)`` with classes ``(B,)``, or shares of them ``(B, K)``."""
        logits = input.to(torch.promote_types(input.dtype, self.weight.dtype))
        weight, smoothing = self.weight.to(logits.dtype), self.label_smoothing
        if target.is_floating_point():
            return F.cross_entropy(logits, target.to(logits.dtype), weight, label_smoothing=smoothing)
        total = _mean_over_processes(weight[target].sum())
        loss = F.cross_entropy(logits, target, weight, reduction="sum", label_smoothing=smoothing)
        return loss / torch.where(total > 0, total, 1)


def give_weights(loss: nn.Module, weights: Sequence[float]) -> None:
    """Let a loss weigh classes: as torch's and timm's do, it has a buffer ``weight``.

    A checkpoint does not hold it: it comes from the configuration, or from the training data, and only training asks.

    Raises:
        ValueError: If the loss takes none, or has its own.
    """
    if loss._buffers.get("weight", loss) is not None:
        raise ValueError(
            f"class_weights: {type(loss).__name__} takes no weight for each class, or has its own; leave class_weights "
            "or loss away"
        )
    loss.register_buffer("weight", torch.tensor(weights, dtype=torch.get_default_dtype()), persistent=False)


def checked(weights: Sequence[float], classes: int) -> Sequence[float]:
    """The weights, if they are factors of that many classes.

    Raises:
        ValueError: If there is not one a class, one is negative or not finite, or all are 0.
    """
    if isinstance(weights, str):
        raise ValueError(f"class_weights: {weights!r} is neither balanced nor {classes} numbers, one a class")
    wrong = next((f"{value} for class {k}" for k, value in enumerate(weights) if not 0 <= value < inf), None)
    if len(weights) != classes:
        wrong = f"{len(weights)} numbers"
    elif not wrong and not any(weights):
        wrong = "zeros alone"
    if wrong:
        raise ValueError(f"class_weights: {classes} numbers of at least 0, one a class and not all 0, got {wrong}")
    return weights


def balanced_weights(data: Any) -> list[float]:
    """N / (K n_k) for each of K classes, n_k of the n training samples being of class k.

    These are the ``balanced`` weights of scikit-learn: every class has the same part of the loss, and the mean of the
    weights over the training samples is 1.

    Args:
        data: The data module.

    Raises:
        ValueError: If the data can't say how many samples a class has, a class has none, or samples are drawn equally
            often from each class anyway.
    """
    if not hasattr(data, "class_counts"):
        kind = "no data module" if data is None else f"a {type(data).__name__}"
        raise ValueError(f"class_weights: balanced counts the classes of the training data, which {kind} can't say")
    if getattr(data, "class_sampling", None):
        raise ValueError("class_weights: balanced on top of data.class_sampling would count rare classes twice over")
    counts = data.class_counts()
    return [float(sum(counts) / (len(counts) * count)) for count in counts]


def _mean_over_processes(value: Tensor) -> Tensor:
    if not (distributed.is_available() and distributed.is_initialized()):
        return value
    value = value.clone()
    distributed.all_reduce(value)
    return value / distributed.get_world_size()

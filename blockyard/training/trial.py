"""A loss tried out on made-up samples, before anything is read or trained."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

SAMPLES = 6
"""Of a trial; not as many as there are classes, or a target of another shape might pass for one by broadcasting."""


def try_out(loss: nn.Module, num_classes: int, mixed: bool, like: Tensor | None = None) -> None:
    """Refuse a loss that can't train with the targets that it will get.

    It has to give one finite number with finite gradients, which depends on the label of every sample. A copy is tried
    on random logits; neither the loss nor a global random number generator changes.

    Args:
        loss: Called with logits ``(B, K)`` and the target.
        num_classes: Classes K.
        mixed: Whether the target is shares of the classes ``(B, K)``, as of mixed samples, and not classes ``(B,)``.
        like: A map ``(1, C, *S)`` such as a loss gets that has an argument ``features``.

    Raises:
        ValueError: If it doesn't, one line.
    """
    target = _targets(num_classes, mixed)
    kind = "shares of the classes (B, K), as mixing makes them" if mixed else "one class a sample (B,), without mixing"
    count = len(target)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        logits = 0.3 * torch.randn(count, num_classes)  # beyond 1, a distance to the target may be linear in it
        more = {} if like is None else {"features": torch.randn(count, *like.shape[1:])}

        def value(labels: Tensor) -> Tensor:
            torch.manual_seed(0)  # a loss that draws must not seem to depend on a label
            return _value(copy.deepcopy(loss), logits, labels, more)

        try:
            first = value(target)
            others = [value(_another(target, sample)) for sample in range(count if num_classes > 1 else 0)]
        except Exception as error:  # whatever a loss of somebody else's says to a target that is not for it
            said = " ".join(str(error).split())[:150] or type(error).__name__
            raise ValueError(f"loss: {type(loss).__name__} does not take the target, {kind}: {said}") from error
    if blind := [sample for sample, other in enumerate(others) if torch.equal(other, first)]:
        raise ValueError(
            f"loss: {type(loss).__name__} does not look at the labels of all samples, here {kind}: {len(blind)} of "
            f"{count} made no difference"
        )


def _value(loss: nn.Module, logits: Tensor, target: Tensor, more: dict[str, Any]) -> Tensor:
    """The loss, once it turned out to be one that an optimiser can lower."""
    logits = logits.clone().requires_grad_()
    value = loss(logits, target, **more)
    if not isinstance(value, Tensor) or value.numel() != 1:
        gives = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f"it gives {gives} and not one number")
    if not value.requires_grad:
        raise ValueError("it has no gradient")
    value.sum().backward()
    if not value.isfinite().all() or logits.grad is None or not logits.grad.isfinite().all():
        raise ValueError("it, or its gradient, is not finite")
    return value.detach()


def _targets(num_classes: int, mixed: bool) -> Tensor:
    count = SAMPLES if num_classes != SAMPLES else 2 * SAMPLES
    labels = torch.arange(count) % num_classes
    if not mixed:
        return labels
    shares = nn.functional.one_hot(labels, num_classes).float()
    return 0.8 * shares + 0.2 * shares.roll(1, 0)


def _another(target: Tensor, sample: int) -> Tensor:
    """The same targets, but for one sample's, whose classes are the next ones."""
    changed = target.clone()
    if target.dim() == 1:
        changed[sample] = (target[sample] + 1) % (int(target.max()) + 1)
    else:
        changed[sample] = target[sample].roll(1)
    return changed

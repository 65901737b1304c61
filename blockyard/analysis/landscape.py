"""How a loss and its gradient change along a step against the gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.runs.exact_resume import random_state, set_random_state

STEPS = (0.01, 0.03, 0.1, 0.3)
"""Sizes of steps unless told otherwise."""


@dataclass(frozen=True)
class Landscape:
    """A loss L at θ, where its gradient is g, and at θ - η g for several η.

    The range of the losses bounds how Lipschitz L is along the step, the change of the gradient how smooth it is, that
    is how far g predicts what comes (after Wang et al., What Deep CNNs Benefit from Global Covariance Pooling, CVPR
    2020). On ½ θᵀHθ the smoothness is ‖H g‖ / ‖g‖ at every η: where g is an eigenvector of H, its eigenvalue.

    Attributes:
        loss: L(θ).
        gradient_norm: ‖g‖.
        steps: η, each a factor of the gradient.
        losses: L(θ - η g).
        gradient_changes: ‖∇L(θ - η g) - g‖.
    """

    loss: float
    gradient_norm: float
    steps: tuple[float, ...]
    losses: tuple[float, ...]
    gradient_changes: tuple[float, ...]

    @property
    def loss_range(self) -> tuple[float, float]:
        """The smallest and the largest loss along the step."""
        return min(self.losses), max(self.losses)

    @property
    def lipschitz(self) -> float:
        """The most, over η, of |L(θ - η g) - L(θ)| / (η ‖g‖)."""
        changes = (abs(loss - self.loss) for loss in self.losses)
        return max(change / length for change, length in zip(changes, self._lengths(), strict=True))

    @property
    def smoothness(self) -> float:
        """β, the most, over η, of ‖∇L(θ - η g) - g‖ / (η ‖g‖)."""
        return max(change / length for change, length in zip(self.gradient_changes, self._lengths(), strict=True))

    def _lengths(self) -> Iterator[float]:
        # without a gradient there is no step, and nothing changes along it
        return (step * self.gradient_norm or 1.0 for step in self.steps)


def landscape(module: nn.Module, loss: Callable[[], Tensor], steps: Sequence[float] = STEPS) -> Landscape:
    """Measure a loss along its gradient; weights, buffers, gradients and random states are what they were, to the bit.

    At every point the module has the buffers and draws the random numbers that it would have and draw without this, so
    that masks of dropout, and pictures that are mixed, are the same along the step.

    Args:
        module: Has the parameters, together one vector θ ``(P,)``; those that have no gradient stay where they are.
        loss: One number, anew at each call.
        steps: η, positive.

    Raises:
        ValueError: If a step is not positive, or nothing has a gradient.
        FloatingPointError: If the loss or its gradient is not finite where the module is.
    """
    refuse_steps(steps)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    if not parameters:
        raise ValueError("a landscape is of parameters that train, and none does")
    losses, changes = list[float](), list[float]()
    with _untouched(module, parameters) as rewind:
        here, gradient = _at(loss, parameters)
        norm = _norm(gradient)
        if not torch.isfinite(torch.tensor([here, norm])).all():
            raise FloatingPointError(f"the loss is {here}, the norm of its gradient {norm}: there is no step along it")
        for step in steps:
            rewind()
            torch._foreach_add_([one.detach() for one in parameters], gradient, alpha=-step)
            there, other = _at(loss, parameters)
            losses.append(there)
            changes.append(_norm(torch._foreach_sub(other, gradient)))
    return Landscape(here, norm, tuple(steps), tuple(losses), tuple(changes))


def refuse_steps(steps: Sequence[float]) -> None:
    """Refuse sizes of steps that are none.

    Raises:
        ValueError: If there is none, or one is not positive.
    """
    if not steps or not all(0 < step < float("inf") for step in steps):
        raise ValueError(f"steps must be positive numbers, got {', '.join(map(str, steps)) or 'none'}")


def _at(loss: Callable[[], Tensor], parameters: Sequence[nn.Parameter]) -> tuple[float, list[Tensor]]:
    """The loss where the parameters are, and its gradient."""
    with torch.enable_grad():
        value = loss()
        # torch.autograd.grad leaves .grad alone, and what waits for other processes' gradients
        found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return value.item(), [one.detach() for one in found]


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([one.double().square().sum() for one in tensors]).sum().sqrt())


@contextmanager
def _untouched(module: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[Callable[[], None]]:
    """Hand out what takes parameters, buffers and random states back to where they are now; at the end they are."""
    device = parameters[0].device
    state: dict[str, Any] = random_state(device)
    weights = [parameter.detach().clone() for parameter in parameters]
    buffers = [
        (part, name, buffer, buffer.clone())
        for part in module.modules()
        for name, buffer in part._buffers.items()
        if buffer is not None
    ]

    @torch.no_grad()
    def rewind() -> None:
        for parameter, before in zip(parameters, weights, strict=True):
            parameter.copy_(before)
        for part, name, buffer, before in buffers:
            part._buffers[name] = buffer.copy_(before)
        set_random_state(state, device)

    try:
        yield rewind
    finally:
        rewind()

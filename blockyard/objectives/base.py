"""The contract that every objective keeps, and what it may ask of its task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from blockyard.plugging import undisturbed

Logged = dict[str, Tensor]
"""What is logged of a batch besides its loss, as ``train/<name>``: a number each, the mean over the batch."""


class Learner(Protocol):
    """A task, as an objective sees it: a LightningModule whose network it trains."""

    network: nn.Module
    """The plugged network. What is exported, and what a record counts, is this alone."""

    def vectors(self, x: Tensor) -> Tensor:
        """One vector a sample ``(B, D)`` of ``(B, C, *S)``: what the network knows of it before it answers the task."""

    def check_finite(self, loss: Tensor) -> None:
        """Raise a FloatingPointError if a loss is not finite; to be called before an optimiser's step."""

    def optimizers(self) -> Any:
        """The optimiser, for an objective with a step of its own."""

    def manual_backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, scaled as the precision asks for, in a step of its own."""


class Objective(nn.Module, ABC):
    """What a training step minimises.

    It is a part of its task: its parameters are in the optimiser and in checkpoints and have gradients on every
    process, and none of them is in the network, so that an export, a card or the costs in a record never hold them.

    The least one has is :meth:`loss`. Heads whose size depends on the network are made in :meth:`attach`.

    For methods that do not follow the gradient of one loss through the network, a subclass has a ``step`` of its own,
    under Lightning's manual optimisation. The task still logs, and advances the schedule of the learning rate.
    """

    primary_metric: ClassVar[str | None] = None
    """Of a pretext, which learns no labels: what of its :data:`Logged` a validation keeps the best by; more is better.

    A validation then is of the objective alone, and a test leaves no record: the task's own score was not learned.
    None: what is learned is the task, and validation is the task's.
    """
    adds: ClassVar[bool] = False
    """Whether the task's own loss is a part of it, so that labels, and the options of that loss, are looked at."""

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Make what depends on the network; called once, before there is an optimiser.

        Args:
            task: Its network is there, with all plugs; what a kind of task adds to it may not be yet.
            input_shape: Shape ``(C, *S)`` of one sample.

        Raises:
            ValueError: If the objective makes no sense for such a task or such samples, one line.
        """

    def vectors_of(self, task: Learner, example: Tensor) -> Tensor:
        """What a head on ``task.vectors`` will see of an example ``(B, C, *S)``: vectors ``(B, D)``.

        Parameters that do not lead there, such as the task's own classifier, lose their gradient, for which several
        processes would wait; one line says how many. All else in the network stays as it is.
        """
        with undisturbed(task.network), torch.enable_grad():
            vectors = task.vectors(example)
            self.hold_unreached(task, vectors)
        return vectors.detach()

    def hold_unreached(self, task: Learner, result: Tensor) -> None:
        """Take the gradient from the network's parameters that a result does not depend on; say how many these are.

        Args:
            task: Holds the network.
            result: ``(B, D)``, or of any other shape.
        """
        held = _hold_unreached(task.network, result)
        total = sum(parameter.numel() for parameter in task.network.parameters())
        print(
            f"objective: {type(self).__name__} does not reach {held:,} of {total:,} parameters, which stay as they are"
        )

    @abstractmethod
    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The loss of a batch, one number, and what else is logged of it; also in the validation of a pretext."""

    def step(self, task: Any, batch: dict[str, Any], batch_idx: int) -> tuple[Tensor, Logged]:
        """A training step in whole, if a subclass has its own: it makes *one* step of ``task.optimizers()``.

        Gradients come from wherever it likes, :meth:`Learner.manual_backward` or a rule of its own, and start from
        what ``zero_grad`` leaves. Accumulation and clipping, which Lightning refuses here, are its own affair.

        Returns:
            A loss to log and to watch, and what else is logged.
        """
        raise NotImplementedError

    @property
    def steps_itself(self) -> bool:
        """Whether there is such a step."""
        return type(self).step is not Objective.step


class Default(Objective):
    """What a kind of task minimises unless told otherwise; a task names its own as ``default_objective``.

    It has no state: what the options of a task make of its loss stays on the task, where checkpoints have it.
    """

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Refuse: a task has it without being told.

        Raises:
            ValueError: Always.
        """
        raise ValueError(f"objective: {type(self).__name__} is what a task has by itself: leave objective away (null)")

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """Nothing: a task without an objective has its own ``training_step``."""
        raise NotImplementedError(f"{type(task).__name__} names no default_objective")


def _hold_unreached(network: nn.Module, result: Tensor) -> int:
    """Take the gradient from the parameters that a result does not depend on.

    Returns:
        How many numbers these are.
    """
    unreached = learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    if result.requires_grad:
        gradients = torch.autograd.grad(result.sum(), learning, allow_unused=True)
        unreached = [one for one, gradient in zip(learning, gradients, strict=True) if gradient is None]
    for parameter in unreached:
        parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in unreached)

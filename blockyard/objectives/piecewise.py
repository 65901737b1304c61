"""Losses of parts of a network whose gradients are taken one after another, and one step with all of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, ClassVar

from torch import Generator, Tensor, distributed

from blockyard.objectives.base import Logged, Objective

Taken = Callable[[Tensor], Tensor]
"""Takes the gradient of a loss at once, if it is to be, and gives the loss."""


class Piecewise(Objective):
    """What adds losses each of which holds what was kept for its gradient no longer than until that is taken."""

    slot: ClassVar[str] = "objective"

    @abstractmethod
    def pieces(self, task: Any, batch: dict[str, Any], taken: Taken) -> tuple[Tensor, Logged]:
        """The sum of the losses for ``input`` ``(B, C, *S)`` with its labels, each of which ``taken`` is given once."""

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The sum for ``input`` ``(B, C, *S)`` with its labels; all is kept.

        Raises:
            ValueError: If the network is compiled.
        """
        self._refuse_compiled(task)
        return self.pieces(task, batch, lambda loss: loss)

    def step(self, task: Any, batch: dict[str, Any], batch_idx: int) -> tuple[Tensor, Logged]:
        """Take the gradient of each piece as soon as it has run on ``(B, C, *S)``, and make a step.

        Raises:
            ValueError: If the network is compiled.
        """
        self._refuse_compiled(task)

        def taken(loss: Tensor) -> Tensor:
            task.manual_backward(loss)
            return loss.detach()

        optimizer = task.optimizers()
        optimizer.zero_grad()
        with _averaged(task):
            loss, logged = self.pieces(task, batch, taken)
        task.check_finite(loss)
        optimizer.step()
        return loss, logged

    def _refuse_compiled(self, task: Any) -> None:
        if getattr(task, "compiler", None):
            raise ValueError(f"objective: {type(self).__name__} runs the network in parts: leave compile at null")


def stream(seed: int, step: int) -> Generator:
    """What the step of that number draws from: the same on every process, and when a run goes on."""
    # torch looks at 32 bits of a seed alone, so that a multiple of 2**32 would be lost
    return Generator().manual_seed((seed * 1_000_000_007 + step) % 2**32)


@contextmanager
def _averaged(task: Any) -> Iterator[None]:
    """Let several backward passes of a step add up; several processes average the sums once, at the end."""
    several = distributed.is_available() and distributed.is_initialized()
    with task.trainer.strategy.block_backward_sync() if several else nullcontext():
        yield
    for parameter in task.parameters() if several else ():
        if parameter.grad is not None:
            distributed.all_reduce(parameter.grad)
            parameter.grad /= distributed.get_world_size()

"""Stops a training at a loss that is not finite, without making the host wait for its device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

When = Literal["before", "after"]


class FiniteLosses(LightningModule):
    """A module that looks at every loss of a training.

    On a CPU the answer is there at once, before the optimiser's step. A GPU is given work far ahead, and asking it at
    once would make the host wait for all of that at every step: there a loss travels to the host beside the
    computation, and is looked at when the next one is there, or before anything is validated or saved.
    """

    _asked: Callable[[], None] | None = None
    """Raises if the last loss, that nobody has looked at yet, is not finite."""

    def check_finite(self, loss: Tensor, when: When = "before") -> None:
        """Stop before a bad optimiser step, or on a GPU before the next.

        Args:
            loss: One number.
            when: Whether the step is still to come.

        Raises:
            FloatingPointError: If the loss is not finite, or on a GPU the one before; on a CPU, and before, the
                weights are still those of the step before.
        """
        self._look()
        if self.looks_late(loss):
            there, place = _on_its_way(loss.detach()), self._place
            self._asked = lambda: _refuse(there(), place, "after")
        elif not math.isfinite(value := loss.item()):
            _refuse(value, self._place, when)

    @property
    def _place(self) -> str:
        return f"at epoch {self.current_epoch}, step {self.global_step}"

    @staticmethod
    def looks_late(loss: Tensor) -> bool:
        """Whether a loss is on a device that its host should not wait for."""
        return loss.is_cuda

    def _look(self) -> None:
        if self._asked is not None:
            self._asked()
        self._asked = None  # not where it raised: nothing of such weights is ever saved

    def on_train_start(self) -> None:
        """Forget a training before."""
        self._asked = None

    def on_validation_start(self) -> None:
        """Look before a validation."""
        self._look()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Look before weights are saved."""
        self._look()

    def on_train_end(self) -> None:
        """Look at the last step's."""
        self._look()


def _refuse(value: float, place: str, when: When) -> None:
    if not math.isfinite(value):
        raise FloatingPointError(
            f"the loss is {value} {place}: stopped {when} the optimiser step; "
            "a lower learning rate or a warm-up may help"
        )


def _on_its_way(number: Tensor) -> Callable[[], float]:
    """Start the copy of a number ``()`` to the host; what is called waits for this copy, and for nothing after it."""
    if not number.is_cuda:
        return number.clone().item
    there = torch.empty((), dtype=number.dtype, pin_memory=True).copy_(number, non_blocking=True)
    arrived = torch.cuda.Event()
    arrived.record()

    def value() -> float:
        arrived.synchronize()
        return there.item()

    return value

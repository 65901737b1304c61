"""A running average of the weights, which is what gets validated and tested."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average of all parameters and running statistics, after every optimiser step.

    Validation, and with it the choice of ``best.ckpt``, looks at the average; so do test and prediction, for it is what
    a checkpoint holds as ``state_dict``. The weights in training stand beside it and go on when a run is resumed.

    Lightning's own class, made exact: whole numbers, such as an index that a layer keeps as a buffer, are copied, for
    their average would be rounded down a little more every step; so are buffers that hold an infinity, such as masks of
    attention, and what a task has frozen, for the mean of two infinities would be no number, and that of two negative
    zeros a positive one. The average lies where the network lies; and nothing of a training is left when it ends, where
    Lightning would test the weights in training instead of the average if the same trainer tests a checkpoint.

    Args:
        decay: Share of the average that a step keeps, ``d``.
        warm_up: Whether step t of the run, from 0, keeps ``min(d, (1 + t) / (10 + t))``: the first weights, which are
            random, are forgotten sooner.

    Raises:
        ValueError: If ``decay`` is not from 0 to 1.
    """

    only_watches: ClassVar[bool] = False

    def __init__(self, decay: float = 0.9998, warm_up: bool = True) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: decay={decay} must be from 0 to 1")
        super().__init__(use_buffers=True, multi_avg_fn=self._blend)
        self.decay, self.warm_up = decay, warm_up
        self._kept = decay
        self._copied: set[int] = set()
        self._swapped = False

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """After every optimiser step."""
        if step_idx is None:
            return False
        self._kept = min(self.decay, (1 + step_idx) / (10 + step_idx)) if self.warm_up else self.decay
        return True

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Follow the network to its device, where it was not yet when the average was made."""
        assert self._average_model is not None
        average: Any = self._average_model.module.to(pl_module.device)  # not its counter: reading that would wait
        frozen = average.frozen.tensors(average.network) if hasattr(average, "frozen") else ()
        endless = (one for one in average.buffers() if one.is_floating_point() and not one.isfinite().all())
        # What is averaged comes as views of the tensors, of which only the address tells which they are.
        self._copied = {one.data_ptr() for one in (*frozen, *endless)}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the average."""
        super().on_validation_epoch_start(trainer, pl_module)
        self._swapped = self._average_model is not None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the weights in training."""
        super().on_validation_epoch_end(trainer, pl_module)
        self._swapped = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Put both in their places before anybody writes a checkpoint."""
        if self._swapped:
            self.on_validation_epoch_end(trainer, pl_module)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take up both; for a test, what was loaded is the average already."""
        if trainer.state.fn == TrainerFn.FITTING:
            super().on_load_checkpoint(trainer, pl_module, checkpoint)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the average: the network has it."""
        self._average_model = None

    @torch.no_grad()
    def _blend(self, averages: list[Tensor], weights: list[Tensor], _: Any) -> None:
        blended: tuple[list[Tensor], list[Tensor]] = [], []
        copied: tuple[list[Tensor], list[Tensor]] = [], []
        for average, weight in zip(averages, weights, strict=True):
            exact = not average.is_floating_point() or average.data_ptr() in self._copied
            for group, one in zip(copied if exact else blended, (average, weight), strict=True):
                group.append(one)
        if blended[0]:
            torch._foreach_lerp_(*blended, 1 - self._kept)
        if copied[0]:
            torch._foreach_copy_(*copied)

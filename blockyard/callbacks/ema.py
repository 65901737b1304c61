"""A running average of the weights, which is what gets validated and tested."""

from __future__ import annotations

from typing import Any

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
    their average would be rounded down a little more every step; what a task has frozen is left alone, bit for bit,
    for the mean of two negative zeros is a positive one, and that of two infinities no number; the average lies where
    the network lies; and nothing of a training is left when it ends, where Lightning would test the weights in training
    instead of the average if the same trainer tests a checkpoint.

    Args:
        decay: Share of the average that a step keeps, ``d``.
        warm_up: Whether step t of the run, from 0, keeps ``min(d, (1 + t) / (10 + t))``: the first weights, which are
            random, are forgotten sooner.

    Raises:
        ValueError: If ``decay`` is not from 0 to 1.
    """

    def __init__(self, decay: float = 0.9998, warm_up: bool = True) -> None:
        if not 0 <= decay <= 1:
            raise ValueError(f"EMA: decay={decay} must be from 0 to 1")
        super().__init__(use_buffers=True, multi_avg_fn=self._blend)
        self.decay, self.warm_up = decay, warm_up
        self._kept = decay
        self._frozen: set[int] = set()
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
        # What is averaged comes as views of the tensors, of which only the address tells which they are.
        frozen = getattr(average, "frozen", None)
        self._frozen = {one.data_ptr() for one in frozen.tensors(average.network)} if frozen else set()

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
        moving = [pair for pair in zip(averages, weights, strict=True) if pair[0].data_ptr() not in self._frozen]
        if not moving:
            return
        averages, weights = map(list, zip(*moving, strict=True))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, weights, 1 - self._kept)
        else:
            torch._foreach_copy_(averages, weights)

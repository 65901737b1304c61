"""Three phases of a training: all of a pool of functions, its gates, and what is kept of it."""

from __future__ import annotations

from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import nn
from torch.optim import Optimizer

from blockyard.blocks import SelectableKAN
from blockyard.runs.keep_best import KeepBest


class ActivationSelection(Callback):
    """Trains a network with :class:`~blockyard.blocks.SelectableKAN` in three phases.

    Until epoch ``gates_at`` all but the gates learn, which leave every kind of functions the same weight; from then on
    the gates alone; and from ``keep_at`` on what is left when each block keeps the kind of its largest gate. What does
    not learn rests to the bit, without weight decay, but statistics of norms go on. What is kept is in the network's
    state, and the phase depends on the epoch alone, so that a resumed run goes on exactly. The best checkpoint is that
    of the last phase alone; a training that was stopped before has none of it, and says so. Several processes need no
    strategy of their own: every parameter has a gradient, which is dropped before the step.

    Args:
        gates_at: The epoch in which the gates begin to learn, counted from 0.
        keep_at: The epoch before which one kind is kept.

    Raises:
        ValueError: If there is no epoch before or between the two; when training starts, if no block has a pool, or the
            training ends before one is kept.
    """

    only_watches: ClassVar[bool] = False

    paper: ClassVar[str] = "Yang et al., Activation Space Selectable Kolmogorov-Arnold Networks, arXiv 2024"
    slot: ClassVar[str] = "schedule"

    def __init__(self, gates_at: int = 2, keep_at: int = 3) -> None:
        if not 0 < gates_at < keep_at:
            raise ValueError(f"ActivationSelection: 0 < gates_at < keep_at is needed, got {gates_at} and {keep_at}")
        self.gates_at, self.keep_at = gates_at, keep_at

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse a training that could not end with a selection; what is resumed at an epoch's end begins here."""
        if not _pools(pl_module):
            raise ValueError("ActivationSelection: no block of the network is a SelectableKAN")
        ends = -1 if trainer.fast_dev_run or trainer.max_epochs is None else trainer.max_epochs  # type: ignore[attr-defined]
        if 0 <= ends <= self.keep_at:
            raise ValueError(
                f"ActivationSelection: one kind is kept at epoch {self.keep_at}, and the training has {ends}"
            )
        self._select(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keep the best of each pool, if it is time."""
        self._select(trainer, pl_module)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Drop the gradients of what rests in this phase."""
        blocks = _pools(pl_module).values()
        gates = {id(block.gates) for block in blocks}
        resting: list[nn.Parameter] = [parameter for block in blocks for parameter in block.resting()]
        if trainer.current_epoch < self.keep_at:
            learn = trainer.current_epoch >= self.gates_at
            resting = [parameter for parameter in pl_module.parameters() if (id(parameter) in gates) != learn]
        for parameter in resting:
            parameter.grad = None

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Tell of a training that was stopped before anything was kept."""
        if any(block.selected is None for block in _pools(pl_module).values()) and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rank_zero_warn(
                f"ActivationSelection: the training has ended before epoch {self.keep_at}, in which one kind is kept"
            )

    def _select(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pools = _pools(pl_module).items() if trainer.current_epoch >= self.keep_at else ()
        new = [(name, block) for name, block in pools if block.selected is None]
        for name, block in new:
            kind = block.keep()
            if trainer.is_global_zero:
                print(f"epoch {trainer.current_epoch}, {name} keeps {kind}")
        for keeper in trainer.checkpoint_callbacks if new else ():
            if isinstance(keeper, KeepBest):
                keeper.begin_anew()


def _pools(module: nn.Module) -> dict[str, SelectableKAN]:
    return {name: block for name, block in module.named_modules() if isinstance(block, SelectableKAN)}

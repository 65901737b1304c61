"""Three phases of a training: all of a pool of functions, its gates, and what is kept of it."""

from __future__ import annotations

from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.optim import Optimizer

from blockyard.blocks import SelectableKAN


class ActivationSelection(Callback):
    """Trains a network with :class:`~blockyard.blocks.SelectableKAN` in three phases.

    Until epoch ``gates_at`` all but the gates learn, which leave every kind of functions the same weight; from then on
    the gates alone; and from ``keep_at`` on what is left when each block keeps the kind of its largest gate. What does
    not learn rests to the bit, without weight decay, but statistics of norms go on. What is kept is in the network's
    state, and the phase depends on the epoch alone, so that a resumed run goes on exactly. Several processes need no
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

    def _select(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.current_epoch >= self.keep_at:
            for name, block in _pools(pl_module).items():
                if block.selected is None:
                    kind = block.keep()
                    print(f"epoch {trainer.current_epoch}, {name} keeps {kind}")


def _pools(module: nn.Module) -> dict[str, SelectableKAN]:
    return {name: block for name, block in module.named_modules() if isinstance(block, SelectableKAN)}

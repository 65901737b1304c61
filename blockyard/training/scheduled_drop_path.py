"""Paths dropped more and more often as training goes on."""

from __future__ import annotations

import math
from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

PROBABILITIES = {"DropPath": "drop_prob", "StochasticDepth": "p"}
"""Where modules keep the probability: a DropPath of timm, pytorchvideo or mmcv, a StochasticDepth of torchvision."""


class ScheduledDropPath(Callback):
    """Raises the probability of dropping a path linearly, from 0 at the first step to its value at the last.

    After t of T optimiser steps it is p t / T, a function of t alone: a resumed run goes on exactly. A path that is
    kept is scaled by 1 / (1 - p) by the modules themselves, so that its expectation is that of the whole path at every
    step; evaluation drops nothing, and frozen parts of a network never do. Zoph et al., Learning Transferable
    Architectures for Scalable Image Recognition, CVPR 2018.

    The network must have paths that can drop: ``--model.backbone.drop_path_rate 0.2`` gives them to those of timm.

    Args:
        probability: p at the end, the same for all paths; None is the one that each was built with, which in most
            networks grows with depth.

    Raises:
        ValueError: If the probability is not in [0, 1); when training starts, if no path drops, the run has no last
            step, or the network is compiled: torch.compile takes a probability for a constant.
    """

    only_watches: ClassVar[bool] = False

    paper: ClassVar[str] = "Zoph et al., Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018"
    slot: ClassVar[str] = "schedule"

    def __init__(self, probability: float | None = None) -> None:
        if probability is not None and not 0 <= probability < 1:
            raise ValueError(f"ScheduledDropPath: probability must be at least 0 and below 1, got {probability}")
        self.probability = probability
        self._final: dict[nn.Module, float] = {}
        self._steps = math.inf

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Find the paths, and how many steps the run has."""
        paths = final_probabilities(pl_module, self.probability)
        self._final = {path: final for path, final in paths.items() if path.training}  # a frozen one drops nothing
        if not any(self._final.values()):
            raise ValueError(
                "ScheduledDropPath: nothing in the network drops a path; --model.backbone.drop_path_rate 0.2 makes "
                "networks of timm drop some"
            )
        if any("_orig_mod" in m._modules or m._compiled_call_impl is not None for m in pl_module.modules()):
            raise ValueError("ScheduledDropPath: a compiled network is compiled anew at every step; leave compile away")
        self._steps = trainer.estimated_stepping_batches
        if math.isinf(self._steps):
            raise ValueError("ScheduledDropPath: the run has no last step; set trainer.max_epochs or trainer.max_steps")

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Set the probabilities of the coming step."""
        self._set(min(1.0, trainer.global_step / self._steps))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the network with the probabilities of the end."""
        self._set(1.0)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the network with the probabilities of the end."""
        self._set(1.0)

    def _set(self, share: float) -> None:
        for module, final in self._final.items():
            setattr(module, PROBABILITIES[type(module).__name__], share * final)


def final_probabilities(network: nn.Module, probability: float | None = None) -> dict[nn.Module, float]:
    """The modules that drop paths, each with the probability that it has in the end.

    Args:
        network: Looked through, not changed.
        probability: Of all paths; None is the one that each was built with.
    """
    found = [(module, PROBABILITIES.get(type(module).__name__)) for module in network.modules()]
    return {module: getattr(module, name) if probability is None else probability for module, name in found if name}

"""Resuming as if the run had never stopped."""

from __future__ import annotations

import random
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn

from blockyard.runs.position import KEY as POSITION
from blockyard.runs.position import position_of

KEY = "random_states"
ACCUMULATED = "accumulated_batches"
"""Where a checkpoint says how many batches had gone into the next step."""


class ExactResume(Callback):
    """Keeps the random states of every rank in the checkpoint, as plain tensors and lists.

    With a data module of this package, which keeps its own position, a run killed at any time and resumed from its last
    checkpoint gets the weights, bit for bit, of a run that was never stopped. What Lightning does not save is lost all
    the same: gradients accumulated so far, when a checkpoint is written in the middle of an accumulation; resuming from
    such a one says so.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self) -> None:
        self._states: list[dict[str, Any]] = []

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Add the states of all ranks; every rank calls this."""
        state = random_state(trainer.strategy.root_device)
        states: list[Any] = [state] * trainer.world_size
        if trainer.world_size > 1:
            torch.distributed.all_gather_object(states, state)
        checkpoint[KEY] = states
        checkpoint[POSITION] = position_of(trainer).items()
        progress: Any = trainer.fit_loop.epoch_loop.batch_progress
        done = 0 if progress.is_last_batch else progress.current.ready % trainer.accumulate_grad_batches
        if done:
            checkpoint[ACCUMULATED] = done

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the states until training starts."""
        fitting = trainer.state.fn == TrainerFn.FITTING
        if fitting and trainer.max_steps != -1 and checkpoint.get(POSITION, {}).get("batch") == 0:
            _begin_epoch(checkpoint["loops"]["fit_loop"])
        self._states = checkpoint.get(KEY, [])
        if (lost := checkpoint.get(ACCUMULATED, 0)) and trainer.state.fn == TrainerFn.FITTING:
            rank_zero_warn(
                f"the checkpoint was written {lost} batch(es) into an accumulation of gradients, which it lacks: "
                "the next step is made without them, so the run is not the one that was interrupted"
            )
        if len(self._states) != trainer.world_size:
            rank_zero_warn(
                f"the checkpoint holds the random states of {len(self._states)} processes, this run has "
                f"{trainer.world_size}: dropout and the like will not go on as they would have"
            )
            self._states = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the states back, once everything that set up the run has drawn its random numbers."""
        if self._states:
            set_random_state(self._states[trainer.global_rank], trainer.strategy.root_device)
            self._states = []


def _begin_epoch(loop: dict[str, Any]) -> None:
    """Let a fit loop that ended an epoch begin the next.

    Where ``max_steps`` is set, Lightning goes on with the epoch that is over: it counts one without a batch, so that
    the next one trains on the samples of the one after it, and logs every step one too high.
    """
    for progress in loop["epoch_progress"].values():
        progress["completed"] = progress["processed"]
    loop["epoch_loop.state_dict"]["_batches_that_stepped"] -= 1
    batches = loop["epoch_loop.batch_progress"]
    batches["is_last_batch"] = False
    batches["current"] = dict.fromkeys(batches["current"], 0)


def random_state(device: torch.device) -> dict[str, Any]:
    """States of the generators of Python, NumPy, torch and ``device``, in types that ``weights_only`` allows."""
    version, words, gauss = random.getstate()
    algorithm, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 - the global generator is what is saved
    return {
        "python": [version, list(words), gauss],
        "numpy": [algorithm, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
    }


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Undo what was drawn since :func:`random_state`."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    algorithm, keys, *rest = state["numpy"]
    np.random.set_state((algorithm, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and state["cuda"] is not None:
        torch.cuda.set_rng_state(state["cuda"], device)

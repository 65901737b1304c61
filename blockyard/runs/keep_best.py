"""The checkpoint that validated best, wherever the run goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from blockyard import files
from blockyard.runs.position import ends_training


class KeepBest(ModelCheckpoint):
    """Writes ``best.ckpt`` whenever the metric on the validation split is better than ever in this run.

    The score travels with the file: a run that goes on in another folder, or from a checkpoint elsewhere, takes
    ``best.ckpt`` along from beside that checkpoint. Lightning forgets the best when the folder has changed, and then
    writes a worse one over it. A training is validated at its end in any case, so that there is a best one.

    Args:
        folder: Where it goes.
        metric: What it is judged by, ``val/…``.
        mode: Whether the highest is best (``max``) or the lowest (``min``).
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, folder: Path, metric: str, mode: Literal["min", "max"] = "max") -> None:
        super().__init__(
            folder,
            "best",
            monitor=metric,
            mode=mode,
            save_on_train_epoch_end=False,
            enable_version_counter=False,
        )

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Have the end of the training validated, whatever the interval."""
        if ends_training(trainer):
            options: Any = trainer
            options.check_val_every_n_epoch = options.val_check_batch = 1
            options._val_check_time_interval = None

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Take over the best so far, and its file; every rank calls this."""
        score = self._score_in(checkpoint)
        if trainer.state.fn != TrainerFn.FITTING or score is None:
            return
        place = Path(self.dirpath or ".") / "best.ckpt"
        beside = Path(str(trainer.ckpt_path)).with_name("best.ckpt")
        found = next((file for file in (place, beside) if self._is_as_good(file, score)), None)
        found = trainer.strategy.broadcast(found)
        if found is None:
            rank_zero_warn(
                f"the best checkpoint so far, with {self.monitor} {score:.4g}, is not beside {trainer.ckpt_path}: "
                "best.ckpt will be the best from here on"
            )
            return
        if found != place and trainer.is_global_zero:
            with found.open("rb") as file:
                files.save(place, lambda copy: shutil.copyfileobj(file, copy))
        self.best_model_score = self.kth_value = score
        self.current_score = self._state_in(checkpoint)["current_score"]
        self.best_model_path = self.kth_best_model_path = str(place)
        self.best_k_models = {str(place): score}

    def begin_anew(self) -> None:
        """Forget the best so far: what follows is another network, which ``best.ckpt`` is to be of."""
        self.best_model_score = None
        self.kth_value = torch.tensor(torch.inf if self.mode == "min" else -torch.inf)
        self.best_model_path = self.kth_best_model_path = ""
        self.best_k_models = {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing: :meth:`on_load_checkpoint` has done it."""

    def _monitor_candidates(self, trainer: Trainer) -> dict[str, Tensor]:
        """What checkpoints are judged by; an infinite score, which no record may hold, is the worst, as NaN is."""
        candidates = super()._monitor_candidates(trainer)
        score = candidates.get(str(self.monitor))
        if score is not None and score.isinf():
            candidates[str(self.monitor)] = torch.full_like(score, torch.nan)
        return candidates

    def _score_in(self, checkpoint: dict[str, Any]) -> Tensor | None:
        """The best score that a checkpoint knows."""
        score = self._state_in(checkpoint).get("best_model_score")
        return score if isinstance(score, Tensor) else None

    def _state_in(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """The state of this callback in a checkpoint, also in one from when Lightning's own class kept it."""
        states = checkpoint.get("callbacks", {})
        # of a task whose direction has changed since, the best so far was the worst
        mode = f"'mode': '{self.mode}'"
        same = (name for name in states if name.startswith(("KeepBest{", "ModelCheckpoint{")) and mode in name)
        return next((states[name] for name in same if states[name].get("monitor") == self.monitor), {})

    def _is_as_good(self, file: Path, score: Tensor) -> bool:
        """Whether a file has weights of that score; of a better one, if it was written after the last checkpoint."""
        try:
            found = self._score_in(torch.load(file, map_location="cpu", weights_only=True, mmap=True))
        except Exception:  # torch raises many types for a file that is missing, cut off or no checkpoint
            return False
        return found is not None and bool(found >= score if self.mode == "max" else found <= score)


def refuse_other_keepers(trainer: Trainer) -> None:
    """See that ``best.ckpt`` and ``last.ckpt`` are written by this package alone, whatever else a configuration saves.

    Raises:
        ValueError: If another callback would write one of them, too.
    """
    own = [callback.dirpath for callback in trainer.checkpoint_callbacks if isinstance(callback, KeepBest)]
    for callback in trainer.checkpoint_callbacks:
        if not isinstance(callback, ModelCheckpoint) or isinstance(callback, KeepBest):
            continue
        taken = callback.save_last or callback.filename in ("best", "last")
        if taken and callback.dirpath in (None, *own):
            raise ValueError(
                "trainer.callbacks: best.ckpt and last.ckpt are kept already; leave save_last away and give "
                "ModelCheckpoint another filename or dirpath"
            )

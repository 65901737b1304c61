"""How the loss and its gradient change along the gradient, while a network trains."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard import files
from blockyard.analysis.landscape import STEPS, Landscape, landscape, refuse_steps


class LossLandscape(Callback):
    """Measures L(θ - η g) and ‖∇L(θ - η g) - g‖ for several η every n optimiser steps, with g = ∇L(θ) of the batch.

    Before the step, and by the loss that trains, on the batch that comes: with the masks of dropout and the mixture of
    pictures that it will have. The training is the one that there is without, bit for bit. ``train/lipschitz`` and
    ``train/smoothness`` are logged, and the run's folder gets ``landscape.json`` and ``landscape.png``; a run that is
    resumed goes on with what it measured before. Each measurement costs about a training step for each η, and one more.
    Of several processes each looks at its part of the batch, and the files are of the first's. Of mixed precision the
    gradients are not scaled.

    Args:
        every: n.
        steps: η; None is 0.01, 0.03, 0.1, 0.3.

    Raises:
        ValueError: If one of them is not positive; when training starts, if the objective makes steps of its own.
    """

    only_watches: ClassVar[bool] = True

    paper: ClassVar[str] = (
        "Wang et al., What Deep CNNs Benefit from Global Covariance Pooling: an Optimization Perspective, CVPR 2020"
    )
    slot: ClassVar[str] = "measure"

    def __init__(self, every: int = 50, steps: list[float] | None = None) -> None:
        if every < 1:
            raise ValueError(f"LossLandscape: every={every} must be positive")
        self.every, self.steps = every, tuple(STEPS if steps is None else steps)
        refuse_steps(self.steps)
        self.measured: dict[int, Landscape] = {}
        """By optimiser step."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what has no loss whose gradient is followed."""
        objective: Any = getattr(pl_module, "objective", None)
        if objective is None or objective.steps_itself:
            raise ValueError(
                f"LossLandscape: {type(objective).__name__} makes steps that follow no one loss's gradient"
            )

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Measure, if it is time."""
        step, task = trainer.global_step, cast("Any", pl_module)
        if step % self.every or step in self.measured:
            return

        def loss() -> Tensor:
            # anew each time: a precision may keep copies of the weights for as long as it lasts
            with trainer.precision_plugin.train_step_context():
                value: Tensor = task.objective.loss(task, dict(batch))[0]
            return value

        found = self.measured[step] = landscape(pl_module, loss, self.steps)
        values = {"train/lipschitz": found.lipschitz, "train/smoothness": found.smoothness}
        pl_module.log_dict(values, batch_size=len(batch["input"]))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the files."""
        self._write(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what there is."""
        self._write(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What was measured, for a run that goes on."""
        return {"measured": {step: asdict(found) for step, found in self.measured.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with it."""
        self.measured = {int(step): Landscape(**found) for step, found in state_dict["measured"].items()}

    def _write(self, trainer: Trainer) -> None:
        if not self.measured or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        # drawing takes its time to import, and most trainings draw nothing
        from blockyard.analysis.landscape_drawing import draw_training, numbers, to_json

        folder = Path(trainer.default_root_dir)
        rows = [{"step": step, **numbers(found)} for step, found in self.measured.items()]
        files.write(folder / "landscape.json", to_json(rows))
        files.write(folder / "landscape.png", draw_training({"this run": self.measured}))

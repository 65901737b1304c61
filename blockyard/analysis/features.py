"""Reading the features of whole splits, on the trainer's device, with nothing in the network changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from blockyard.retrieval.pool_features import PoolFeatures

Batch = dict[str, Any]


@dataclass(frozen=True)
class Features:
    """Vectors of the samples of a split.

    Attributes:
        vectors: ``(n, D)`` float32; of a sample read in views their mean.
        targets: Classes ``(n,)``, or ``(n, K)``.
        left_out: Samples of the split that could not be read.
    """

    vectors: Tensor
    targets: Tensor
    left_out: int

    def to(self, device: torch.device) -> Features:
        """The same on a device."""
        return Features(self.vectors.to(device), self.targets.to(device), self.left_out)


class Frozen(LightningModule):
    """A task in evaluation mode that a trainer runs over batches, to whatever end.

    Args:
        task: The task.
        step: What is done with a batch, on the task's device and without gradients.
        doing: What people are told that this is, such as ``Features of train``.
    """

    def __init__(self, task: LightningModule, step: Callable[[Batch], Any], doing: str) -> None:
        super().__init__()
        self.doing = doing
        self.task = task
        self.step = step

    def predict_step(self, batch: Batch, batch_idx: int) -> Any:
        """What the step makes of a batch."""
        return self.step(batch)


def run(
    trainer: Trainer, task: LightningModule, loader: DataLoader, step: Callable[[Batch], Any], doing: str
) -> list[Any]:
    """What a step makes of each batch of a loader; a split without a sample gives nothing."""
    split: Any = loader.dataset
    return list(trainer.predict(Frozen(task, step, doing), loader) or []) if len(split) else []


def read_features(
    trainer: Trainer,
    task: LightningModule,
    loader: DataLoader,
    embed: Callable[[Tensor], Tensor],
    doing: str = "Features",
) -> Features:
    """The features of the samples of a split, and their targets.

    Args:
        trainer: Decides device and precision.
        task: What holds the network.
        loader: Of a :class:`~blockyard.datamodules.loading.SeededSplit`, in order.
        embed: From inputs ``(B, C, *S)`` to vectors ``(B, D)``.
        doing: What people are told that this is.

    Raises:
        ValueError: If there is no sample that could be read.
        FloatingPointError: If a vector is not finite.
    """

    def step(batch: Batch) -> tuple[Tensor, ...]:
        vectors = embed(batch["input"]).float()
        valid = batch.get("valid", torch.ones_like(batch["index"], dtype=torch.bool))
        return tuple(part[valid].cpu() for part in (batch["index"], vectors, batch["target"]))

    parts = run(trainer, task, loader, step, doing)
    index, vectors, targets = (torch.cat(part) for part in zip(*parts, strict=True)) if parts else (torch.empty(0),) * 3
    if not len(index):
        raise ValueError("a split holds no sample that could be read: there are no features to learn from or to test")
    split: Any = loader.dataset.split  # type: ignore[attr-defined]
    owner = torch.tensor([split.sample_of(item) for item in range(len(split))])
    pool = PoolFeatures(owner, vectors.shape[1])
    pool.update(index, vectors)
    means, counts = pool.compute()
    of_sample = targets.new_zeros(len(means), *targets.shape[1:])
    of_sample[owner[index]] = targets
    seen, rows = counts > 0, loader.sampler.rows  # type: ignore[attr-defined]
    asked = len(split.names) if rows is None else len(owner[torch.as_tensor(rows)].unique())
    return Features(means[seen], of_sample[seen].long(), asked - int(seen.sum()))

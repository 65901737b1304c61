"""Reading the features of whole splits, on the trainer's device, with nothing in the network changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from blockyard.analysis.feature_table import FeatureTable, is_mapped

Batch = dict[str, Any]


@dataclass(frozen=True)
class Features:
    """Vectors of the samples of a split.

    Attributes:
        vectors: ``(n, D)`` float32; of a sample read in views their mean. Many lie in a file that is mapped.
        targets: Classes ``(n,)``, or ``(n, K)``.
        left_out: Samples of the split that could not be read.
    """

    vectors: Tensor
    targets: Tensor
    left_out: int

    def to(self, device: torch.device) -> Features:
        """The same on a device; vectors that are too many for memory stay, and are moved a block at a time."""
        vectors = self.vectors if is_mapped(self.vectors) else self.vectors.to(device)
        return Features(vectors, self.targets.to(device), self.left_out)


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
    split: Any = loader.dataset.split  # type: ignore[attr-defined]
    rows = loader.sampler.rows  # type: ignore[attr-defined]
    owner = torch.tensor([split.sample_of(item) for item in range(len(split))])
    asked = len(split.names) if rows is None else len(owner[torch.as_tensor(rows)].unique())
    means = _Means(owner, FeatureTable(asked, Path(trainer.default_root_dir)))

    def step(batch: Batch) -> int:
        vectors = embed(batch["input"]).float()
        valid = batch.get("valid", torch.ones_like(batch["index"], dtype=torch.bool))
        means.add(*(part[valid].cpu() for part in (batch["index"], vectors, batch["target"])))
        return len(vectors)

    run(trainer, task, loader, step, doing)
    means.end()
    if not means.table.filled:
        raise ValueError("a split holds no sample that could be read: there are no features to learn from or to test")
    return Features(means.table.rows, torch.cat(means.targets).long(), asked - means.table.filled)


class _Means:
    """The mean of each sample over its views, which come in the order of the split.

    Args:
        owner: The sample that each item belongs to, ascending, ``(items,)``.
        table: Where means go.
    """

    def __init__(self, owner: Tensor, table: FeatureTable) -> None:
        self.owner, self.table = owner, table
        self.targets: list[Tensor] = []
        self._sums, self._counts = torch.empty(0), torch.empty(0)
        self._samples = torch.empty(0, dtype=torch.long)  # the last one, more views of which may come
        self._target = torch.empty(0)

    def add(self, index: Tensor, vectors: Tensor, targets: Tensor) -> None:
        """Take vectors ``(B, D)`` of items ``(B,)`` and their targets ``(B, …)``, a rest of no items included."""
        if not len(index):
            return
        samples, counts = self.owner[index].unique_consecutive(return_counts=True)
        of_samples = targets[counts.cumsum(0) - 1]
        assert (samples.diff() > 0).all(), "items come in the order of the split"
        sums = torch.segment_reduce(vectors.double(), "sum", lengths=counts)
        if len(self._samples) and samples[0] == self._samples:
            sums[0] += self._sums[0]
            counts[0] += self._counts[0]
        else:
            self.end()
        self._write(sums[:-1], counts[:-1], of_samples[:-1])
        self._samples, self._sums, self._counts, self._target = samples[-1:], sums[-1:], counts[-1:], of_samples[-1:]

    def end(self) -> None:
        """Write what is left."""
        self._write(self._sums, self._counts, self._target)
        self._samples, self._sums, self._counts = self._samples[:0], self._sums[:0], self._counts[:0]
        self._target = self._target[:0]

    def _write(self, sums: Tensor, counts: Tensor, targets: Tensor) -> None:
        if len(sums):
            self.table.add((sums / counts[:, None]).float())
            self.targets.append(targets)

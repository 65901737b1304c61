"""Predictions as a table that people can open."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard.leaderboard import atomic

TOP = 5


class PredictionsCSV(Callback):
    """Writes one line a sample: its name, and the most probable classes with their probabilities.

    Takes tasks whose ``predict_step`` gives probabilities ``(B, K)`` and indices ``(B,)``. With several
    processes the first one writes all samples, in the order of the split.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows: dict[int, tuple[list[int], list[float]]] = {}

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[Tensor, Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the most probable classes of a batch."""
        probabilities, index = outputs
        top = probabilities.topk(min(TOP, probabilities.shape[1]))
        kept = zip(top.indices.tolist(), top.values.tolist(), strict=True)
        self._rows.update(zip(index.tolist(), kept, strict=True))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows together and write them."""
        parts: list[dict[int, tuple[list[int], list[float]]] | None] = [self._rows]
        if trainer.world_size > 1:
            parts = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, self._rows)
        rows = {index: row for part in parts if part for index, row in part.items()}
        self._rows = {}
        if trainer.is_global_zero:
            data = trainer.datamodule  # type: ignore[attr-defined]
            atomic.write(self.path, _csv(rows, data.names("predict"), data.classes).encode())
            print(f"{len(rows)} predictions in {self.path}")


def _csv(rows: dict[int, tuple[list[int], list[float]]], names: list[str], classes: list[str]) -> str:
    columns = [f"{what}_{place}" for place in range(1, min(TOP, len(classes)) + 1) for what in ("class", "probability")]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *columns])
    for index in sorted(rows):
        pairs = zip(*rows[index], strict=True)
        writer.writerow([names[index], *(cell for k, p in pairs for cell in (classes[k], f"{p:.6f}"))])
    return text.getvalue()

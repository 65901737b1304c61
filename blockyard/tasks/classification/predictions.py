"""Predictions as a table that people can open."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard import files
from blockyard.datamodules.loading import Split
from blockyard.metrics import counted
from blockyard.tasks.new_samples import of_all_processes, table, table_at, tell_unread

TOP = 5
WINDOW = {"file": 0, "start": 3, "end": 3, "class": 0, "probability": 6}
"""Columns of the table of windows."""
Best = list[tuple[int, float]]
"""The most probable classes with their probabilities, best first."""


@dataclass
class Row:
    """What is known of one sample so far.

    Attributes:
        views: Views met; of an image there is one.
        valid: Those of them that could be read.
        seconds: Wall time that they took.
        total: Sum of the valid views' probabilities ``(K,)``; dropped once ``best`` is known.
        best: Settled when all views have been met: so most rows hold a few numbers and not K.
    """

    views: int = 0
    valid: int = 0
    seconds: float = 0.0
    total: Tensor | None = None
    best: Best | None = None

    def add(self, other: Row) -> None:
        """Add other views of the same sample."""
        self.views += other.views
        self.valid += other.valid
        self.seconds += other.seconds
        if other.total is not None:
            self.total = other.total if self.total is None else self.total + other.total

    def settle(self) -> None:
        """Keep the most probable classes of the mean alone."""
        if self.total is not None:
            top = (self.total / self.valid).topk(min(TOP, len(self.total)))
            self.best = list(zip(top.indices.tolist(), top.values.tolist(), strict=True))
            self.total = None


class PredictionsCSV(Callback):
    """Writes one line a sample: its name, the most probable classes with their probabilities, and the seconds it took.

    Takes tasks whose ``predict_step`` gives probabilities ``(B, K)`` and indices ``(B,)``. Where the split reads a
    sample in several ``views``, their probabilities are averaged; views that a batch says are not ``valid`` are left
    out, and a sample without a valid one has a line without classes. With several processes the first one writes all
    samples, in the order of the split. Of recordings read in several windows, ``windows.csv`` says from when to when,
    in seconds, each window goes and what is most probable in it.

    ``seconds`` is wall time, reading included: the time since the batch before, shared equally by what is in a batch.

    Args:
        place: The folder that ``predictions.csv`` and ``windows.csv`` go to, or the first one's own name, ``.csv`` or
            ``.jsonl``; windows then go beside it, with ``-windows`` in their name.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, place: Path) -> None:
        self.path = table_at(place, "predictions.csv")
        alone = self.path == place
        self.windows = self.path.with_name(f"{place.stem}-windows{place.suffix}" if alone else "windows.csv")
        self._rows: dict[int, Row] = {}
        self._windows: dict[int, tuple[int, float]] = {}
        self._last = 0.0

    @property
    def results(self) -> list[Path]:
        """The files that it writes, or may write."""
        return [self.path, self.windows]

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Learn whose views the items are, and start the clock."""
        self._split: Split = trainer.datamodule.split("predict")  # type: ignore[attr-defined]
        self._last = time.perf_counter()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[Tensor, Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the views of a batch, probabilities ``(B, K)`` and positions ``(B,)``, to their samples."""
        probabilities, index = (output.cpu() for output in outputs)
        now = time.perf_counter()
        seconds, self._last = (now - self._last) / max(1, len(index)), now
        # Doubles add up the float32 of a few views without an error that six digits could show.
        probabilities = probabilities.double()
        valid = batch["valid"].tolist() if "valid" in batch else [True] * len(index)
        for row, view in enumerate(index.tolist()):
            total = probabilities[row] if valid[row] else None
            self._add(self._split.sample_of(view), Row(1, int(valid[row]), seconds, total))
            if total is not None and self._split.windows is not None:
                self._windows[view] = int(total.argmax()), float(total.amax())

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the rows together and write them.

        Raises:
            ValueError: If no sample at all could be read.
        """
        parts = of_all_processes(trainer, (self._rows, self._windows))
        self._rows = {}
        for part, windows in parts:
            self._windows |= windows
            for sample, row in part.items():
                self._add(sample, row)
        rows, self._rows = self._rows, {}
        for row in rows.values():
            row.settle()  # what limit_predict_batches left with part of its views
        tell_unread(self._split, [sample for sample, row in sorted(rows.items()) if row.best is None], len(rows))
        if trainer.is_global_zero:
            self._write(rows, trainer.datamodule)  # type: ignore[attr-defined]

    def _add(self, sample: int, row: Row) -> None:
        known = self._rows.setdefault(sample, Row())
        known.add(row)
        if row.best is not None:
            known.best = row.best
        elif known.views == len(self._split.items_of(sample)):
            known.settle()

    def _write(self, rows: dict[int, Row], data: Any) -> None:
        names, classes = data.names("predict"), data.vocabulary.classes
        top = min(TOP, len(classes))
        columns = {f"{what}_{place}": 6 for place in range(1, top + 1) for what in ("class", "probability")}
        lines = _lines(rows, names, classes, top)
        files.write(self.path, table({"file": 0, **columns, "seconds": 4}, lines, self.path))
        if self._split.windows is not None and len(self._split) > len(names):
            windows = windows_of(self._windows, self._split, classes)
            files.write(self.windows, table(WINDOW, windows, self.windows))
        self._windows = {}
        print(f"{counted(sum(row.best is not None for row in rows.values()), 'prediction')} in {self.path}")


def windows_of(best: dict[int, tuple[int, float]], split: Split, classes: Sequence[str]) -> Iterator[list[Any]]:
    """Of each window its recording, from when to when in seconds, the most probable class and its probability.

    Args:
        best: By item, class and probability; what could not be decoded is not there, and has a row without.
        split: The recordings.
        classes: Names of the classes.
    """
    for item, (start, end) in enumerate(split.windows or ()):
        label, probability = best.get(item, (None, None))
        title = None if label is None else classes[label]
        yield [split.names[split.sample_of(item)], start, end, title, probability]


def _lines(rows: dict[int, Row], names: list[str], classes: Sequence[str], top: int) -> Iterator[list[Any]]:
    for sample, row in sorted(rows.items()):
        best: list[Any] = [part for k, p in row.best or () for part in (classes[k], p)]
        yield [names[sample], *(best or [None] * (2 * top)), row.seconds]

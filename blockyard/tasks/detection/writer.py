"""Found boxes, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard import files
from blockyard.metrics import counted
from blockyard.tasks.detection.scores import Found
from blockyard.tasks.new_samples import of_all_processes, table, table_at, tell_unread

COLUMNS = {"file": 0, "class": 0, "score": 6, "left": 2, "top": 2, "right": 2, "bottom": 2}
"""Of the table, with the decimals of numbers."""


class BoxesCSV(Callback):
    """Writes ``boxes.csv``: of every object that ``predict`` finds its picture, class, score, and box in pixels.

    Rows are in the order of the pictures, and of each the best first; the first process writes those of all.

    Args:
        place: The folder that it goes to, or its own name, ``.csv`` or ``.jsonl``.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, place: Path) -> None:
        self.path = table_at(place, "boxes.csv")
        self._found: dict[int, Found] = {}
        self._unread: set[int] = set()

    @property
    def results(self) -> list[Path]:
        """The file that it writes."""
        return [self.path]

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._found, self._unread = {}, set()

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[list[Found], Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was found in a batch: boxes ``(n, 4)`` of each picture, and the indices ``(B,)`` of these."""
        self._unread |= set(batch["index"][~batch["valid"]].tolist())
        for found, index in zip(outputs[0], outputs[1].tolist(), strict=True):
            self._found[index] = {name: value.cpu() for name, value in found.items()}

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Bring the boxes together and write them.

        Raises:
            ValueError: If no picture could be read.
        """
        parts = of_all_processes(trainer, (self._found, sorted(self._unread)))
        found = {index: one for part, _ in parts for index, one in part.items()}
        unread = sorted(index for _, part in parts for index in part)
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        tell_unread(data.split("predict"), unread, len(found) + len(unread))
        if trainer.is_global_zero:
            rows = list(_rows(found, data.names("predict"), data.vocabulary.classes))
            files.write(self.path, table(COLUMNS, rows, self.path))
            print(f"{counted(len(rows), 'row')} in {self.path}")


def _rows(found: dict[int, Found], names: Sequence[str], classes: Sequence[str]) -> Iterator[list[Any]]:
    for index, one in sorted(found.items()):
        parts = zip(one["labels"].tolist(), one["scores"].tolist(), one["boxes"].tolist(), strict=True)
        for label, score, box in parts:
            yield [names[index], classes[label], score, *box]

"""What a test of several labels a sample says class by class."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from blockyard import files
from blockyard.tasks.classification.class_report import print_rows, to_csv


class TagReport(Callback):
    """Writes ``classes.csv`` at the end of a test, and prints it: the samples and the scores of each class.

    The task must hold ``class_scores``, name to ``(K,)``, as :class:`~blockyard.tasks.AudioTagging` does; others are
    left alone.

    Args:
        directory: Where the file goes.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print."""
        scores: dict[str, Tensor] | None = getattr(pl_module, "class_scores", None)
        if not scores or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        rows = tag_rows(scores, trainer.datamodule.classes)  # type: ignore[attr-defined]
        files.write(self.directory / "classes.csv", to_csv(rows).encode())
        if trainer.progress_bar_callback is not None:
            print_rows(rows, "AP")


def tag_rows(scores: dict[str, Tensor], classes: list[str]) -> list[dict[str, object]]:
    """For each class its samples and its scores; empty cells where it does not occur.

    Args:
        scores: ``samples``, counts ``(K,)``, and named scores ``(K,)``.
        classes: Names of the K classes.
    """
    named = {name: values for name, values in scores.items() if name != "samples"}
    return [
        {
            "class": name,
            "samples": int(scores["samples"][k]),
            **{score: "" if values[k].isnan() else round(values[k].item(), 4) for score, values in named.items()},
        }
        for k, name in enumerate(classes)
    ]

"""What a test of a segmentation says class by class: a table and a picture of the confusions."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.rank_zero import rank_zero_warn
from torch import Tensor

from blockyard import files
from blockyard.tasks.classification.class_report import draw, print_rows, to_csv
from blockyard.tasks.segmentation.metrics import class_scores


class SegmentationReport(Callback):
    """Writes ``classes.csv`` and ``confusion.png``, in per cent, at the end of a test, and prints the table.

    The task must hold ``pixel_confusion``, counts ``(K, K)`` with the true class in rows; others are left alone.

    Args:
        directory: Where the two files go.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print."""
        confusion: Tensor | None = getattr(pl_module, "pixel_confusion", None)
        if confusion is None or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        classes = trainer.datamodule.classes  # type: ignore[attr-defined]
        rows = pixel_rows(confusion.cpu(), classes)
        if absent := [str(row["class"]) for row in rows if not row["pixels"]]:
            named = ", ".join(absent[:5]) + (", …" if len(absent) > 5 else "")
            rank_zero_warn(f"test: not one pixel is {named}: means are over the classes that occur or are predicted")
        files.write(self.directory / "classes.csv", to_csv(rows).encode())
        files.write(self.directory / "confusion.png", draw(_per_cent(confusion.cpu()), classes))
        if trainer.progress_bar_callback is not None:
            print_rows(rows, "IoU")
            if (macs := getattr(pl_module, "pictures", {}).get("GMACs")) is not None:
                print(macs_line(macs.cpu()))


def macs_line(macs: Tensor) -> str:
    """The mean and quantiles of billions of multiply–accumulates, ``(n,)``, of pictures."""
    shares = torch.tensor([0.05, 0.5, 0.95], dtype=macs.dtype)
    low, median, high = macs.quantile(shares).tolist()
    return (
        f"GMACs of a picture: mean {macs.mean():.4g}, median {median:.4g}, "
        f"from {low:.4g} (5 %) to {high:.4g} (95 %) of {len(macs):,}"
    )


def pixel_rows(confusion: Tensor, classes: list[str]) -> list[dict[str, object]]:
    """For each class its pixels, its scores, and what it is most often taken for; empty cells where it does not occur.

    Args:
        confusion: Counts ``(K, K)``, rows the true class.
        classes: Names of the K classes.
    """
    scores = class_scores(confusion)
    most, where = confusion.clone().fill_diagonal_(0).max(1)
    return [
        {
            "class": name,
            "pixels": int(confusion[k].sum()),
            **{score: "" if values[k].isnan() else round(values[k].item(), 4) for score, values in scores.items()},
            "most often taken for": classes[int(where[k])] if most[k] else "",
        }
        for k, name in enumerate(classes)
    ]


def _per_cent(confusion: Tensor) -> Tensor:
    return (100 * confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)).round().long()

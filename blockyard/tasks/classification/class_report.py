"""What a test says class by class: a table and a picture of the confusions."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.figure import Figure
from rich.table import Table
from torch import Tensor

from blockyard import files
from blockyard.leaderboard.console import console
from blockyard.leaderboard.validation import cell
from blockyard.metrics import metric_named
from blockyard.mistakes import printable

SHOWN = 20
"""At most so many classes are printed, the least accurate first; the file has all."""

DRAWN = 2_000


class ClassReport(Callback):
    """Writes ``classes.csv`` and ``confusion.png`` at the end of a test, and prints the table.

    The task must hold ``confusion``, counts ``(K, K)`` with the true class in rows, sparse or not; others are left
    alone. Of more than :data:`DRAWN` classes there is no picture, in which a class would have less than a pixel.

    Args:
        directory: Where the two files go.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print."""
        confusion: Tensor | None = getattr(pl_module, "confusion", None)
        if confusion is None or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        classes = trainer.datamodule.classes  # type: ignore[attr-defined]
        rows = class_rows(confusion.cpu(), classes)
        files.write(self.directory / "classes.csv", to_csv(rows).encode())
        if len(classes) <= DRAWN:
            files.write(self.directory / "confusion.png", draw(confusion.cpu().to_dense(), classes))
        if trainer.progress_bar_callback is not None:
            print_rows(rows)


def class_rows(confusion: Tensor, classes: list[str]) -> list[dict[str, object]]:
    """For each class its samples, recall, precision, and the class it is most often taken for.

    Recall is empty for a class that does not occur, precision for one that nothing is taken for: they have none.

    Args:
        confusion: Counts ``(K, K)``, rows the true class, sparse or not.
        classes: Names of the K classes.
    """
    pairs = confusion.to_sparse().coalesce()
    (true, taken), times = pairs.indices(), pairs.values()
    samples, named = (torch.zeros(len(classes), dtype=torch.long).index_add_(0, part, times) for part in (true, taken))
    correct = torch.zeros_like(samples).index_add_(0, true, times * (true == taken))
    wrong: dict[int, tuple[int, int]] = {}
    for row, column, count in zip(true.tolist(), taken.tolist(), times.tolist(), strict=True):
        if row != column and count > wrong.get(row, (0, 0))[1]:
            wrong[row] = column, count
    recall, precision = correct.double() / samples, correct.double() / named
    return [
        {
            "class": name,
            "samples": int(samples[k]),
            "recall": _share(recall[k]),
            "precision": _share(precision[k]),
            "most often taken for": classes[wrong[k][0]] if k in wrong else "",
            "times": wrong[k][1] if k in wrong else 0,
        }
        for k, name in enumerate(classes)
    ]


def _share(value: Tensor) -> float | str:
    return "" if value.isnan() else round(value.item(), 4)


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(confusion: Tensor, classes: list[str]) -> bytes:
    """A PNG of the confusions ``(K, K)``, each row a fraction of its class; counts are written in up to 20 classes."""
    size = len(classes)
    share = (confusion.double() / confusion.sum(1, keepdim=True).clamp(min=1)).numpy()
    inches = min(24.0, max(5.0, 0.45 * size + 2))
    figure = Figure(figsize=(inches, inches), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="true")
    if size <= 60:
        axes.set_xticks(range(size), classes, rotation=90)
        axes.set_yticks(range(size), classes)
    if size <= 20:
        for row, column in torch.nonzero(confusion).tolist():
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(int(confusion[row, column])), ha="center", va="center", color=colour, size=8)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()


def to_csv(rows: list[dict[str, object]]) -> str:
    """A table with the keys of the first row as its head."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def print_rows(rows: list[dict[str, object]], by: str = "recall") -> None:
    """Print the rows of a table, or the worst of them if there are many; fractions in per cent.

    Args:
        rows: One a class; where a number is a float, it is a score of the name of its column.
        by: The column that says which are the worst; where it is empty, the class does not occur.
    """
    shown, title = rows, "by class"
    if len(rows) > SHOWN:
        shown = sorted((row for row in rows if row[by] != ""), key=lambda row: float(str(row[by])))[:SHOWN]
        title = f"the {len(shown)} classes with the lowest {by} of {len(rows)}"
    metrics = {name: metric_named(name) for row in rows for name, value in row.items() if isinstance(value, float)}
    table = Table(title=title)
    for name, value in rows[0].items():
        numbers = name in metrics or isinstance(value, int)
        table.add_column(metrics[name].heading if name in metrics else name, justify="right" if numbers else "left")
    for row in shown:
        cells = (metrics[name].text(value) if isinstance(value, float) else str(value) for name, value in row.items())
        table.add_row(*map(printable, cells))
    console().print(table)  # a class may be called [/b], which it prints as it is

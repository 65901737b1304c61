"""The best and the worst cases of a segmentation, as a picture."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import cv2
import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from blockyard import files
from blockyard.tasks.segmentation.mask_colours import IGNORED, Pixels, fitted, overlay, table

COLUMNS = ("picture", "truth", "prediction", "error")
WIDTH = 320
"""Pixels of a column."""
WRONG = (220, 30, 30)
"""The colour of an error."""
Palette = list[tuple[int, int, int]]


@dataclass
class Case:
    """A picture with its masks, all of one size.

    Attributes:
        text: What is written beside it.
        picture: ``(h, w, 3)``.
        truth: Labels ``(h, w)``, 255 where nothing is asked.
        predicted: Labels ``(h, w)``.
    """

    text: str
    picture: Pixels
    truth: Pixels
    predicted: Pixels

    def panels(self, palette: Palette) -> list[Pixels]:
        """One picture ``(h, w, 3)`` for each of :data:`COLUMNS`; in the last, what is wrong is red."""
        grey = cv2.cvtColor(cv2.cvtColor(self.picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB) // 2 + 64
        wrong = (self.truth != self.predicted) & (self.truth != IGNORED)
        error = np.where(wrong[..., None], np.array(WRONG, np.uint8), grey).astype(np.uint8)
        error[self.truth == IGNORED] = 255
        masks = [overlay(self.picture, mask, palette) for mask in (self.truth, self.predicted)]
        return [self.picture, *masks, error]


class SegmentationCases(Callback):
    """Writes ``cases.png`` after a test of a segmentation: the pictures with the lowest mean IoU, and with the highest.

    A row is a picture: itself, the truth, the prediction, the error. The few pictures are labelled once more, on the
    first process, in the way of the test.

    Args:
        directory: Where the picture goes.
        rows: At most so many of the worst, and as many of the best.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path, rows: int = 5) -> None:
        self.directory = directory
        self.rows = rows

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data, task = cast(Any, trainer).datamodule, cast(Any, pl_module)
        names = data.names("test")
        cases = [
            _case(trainer, task, index, f"{names[index]}\nmean IoU {score:.1%}")
            for index, score in extremes(task.pictures, self.rows)
        ]
        files.write(self.directory / "cases.png", draw(cases, data.classes, data.palette))


def extremes(pictures: dict[str, Tensor], rows: int) -> list[tuple[int, float]]:
    """Index and mean IoU of the worst pictures, the worst first, then of the best, the best last; none twice.

    Args:
        pictures: ``index`` and ``mIoU``, ``(n,)`` each.
        rows: At most so many of either kind.
    """
    order = pictures["mIoU"].argsort(stable=True).tolist()
    chosen = order if len(order) <= 2 * rows else order[:rows] + order[-rows:]
    return [(int(pictures["index"][place]), float(pictures["mIoU"][place])) for place in chosen]


def _case(trainer: Any, task: Any, index: int, text: str) -> Case:
    loader = trainer.test_dataloaders
    sample = loader.dataset[index]
    # Before collating, which may take it away.
    picture = loader.dataset.split.visible(index, np.asarray(sample["input"]))
    batch = task.transfer_batch_to_device(loader.collate_fn([sample]), task.device, 0)
    with torch.no_grad(), trainer.precision_plugin.test_step_context():
        found = task.predict_step(trainer.precision_plugin.convert_input(batch), 0)[0][0].cpu().numpy()
    height, width = found.shape[-2:]
    predicted = found.reshape(-1, height, width)[0]  # without their probabilities, if they are there
    size = (max(1, round(height * WIDTH / width)), WIDTH)
    truth = batch["target"][0].cpu().numpy().astype(np.uint8)
    masks = [cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST) for mask in (truth, predicted)]
    return Case(text, fitted(picture, size), *(np.asarray(mask, np.uint8) for mask in masks))


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(cases: list[Case], classes: list[str], palette: Palette) -> bytes:
    """A PNG with a row for each case, and the colours of the classes that occur in them."""
    heights = [case.picture.shape[0] / WIDTH for case in cases]
    figure = Figure(figsize=(12, 2.6 * sum(heights) + 0.35 * len(cases) + 1), layout="constrained")
    grid = figure.subplots(len(cases), len(COLUMNS), squeeze=False, height_ratios=heights)
    present: set[int] = set()
    for row, case in zip(grid, cases, strict=True):
        present |= {*np.unique(case.truth).tolist(), *np.unique(case.predicted).tolist()}
        for axes, panel in zip(row, case.panels(palette), strict=True):
            axes.imshow(panel)
            axes.axis("off")
        row[0].set_title(case.text, size=7, loc="left")
        for axes, title in zip(row[1:], COLUMNS[1:], strict=True):
            axes.set_title(title, size=7)
    colours = table(palette) / 255
    patches = [Patch(facecolor=colours[k], edgecolor="grey", label=classes[k]) for k in sorted(present - {IGNORED})]
    figure.legend(handles=patches, loc="outside lower center", ncols=8, fontsize=7)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

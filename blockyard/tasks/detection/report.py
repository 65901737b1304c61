"""What a test of a detection shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from blockyard import files
from blockyard.datamodules.images import Pixels
from blockyard.mistakes import printable
from blockyard.tasks.detection.scores import Found

SHOWN = 8
"""Test pictures that a report shows."""


class FoundBoxes(Callback):
    """Draws ``boxes.png`` after a test: a few pictures with what is there, above, and the best that was found, below.

    Args:
        directory: Where the file goes.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw pictures at even distances in the split."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data, pairs = cast(Any, trainer).datamodule, cast(Any, pl_module).pairs
        split, indices = data.split("test"), sorted(pairs)
        if not indices:
            return
        chosen = indices[:: max(1, -(-len(indices) // SHOWN))]
        cases = [(split.images[index], *pairs[index][::-1]) for index in chosen]
        files.write(self.directory / "boxes.png", draw(cases, data.classes))


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(cases: list[tuple[Pixels, Found, Found]], classes: list[str]) -> bytes:
    """A PNG with a column for each picture ``(H, W, 3)``: what is there, and as many of the best found."""
    figure = Figure(figsize=(2.2 * len(cases), 4.8), layout="constrained")
    grid = figure.subplots(2, len(cases), squeeze=False)
    for place, (picture, true, found) in enumerate(cases):
        best = {name: values[: len(true["labels"])] for name, values in found.items()}
        for row, (boxes, colour) in enumerate(((true, "#1a9850"), (best, "#d73027"))):
            _draw(grid[row, place], picture, boxes, classes, colour)
    grid[0, 0].set_title("true", loc="left", size=9)
    grid[1, 0].set_title("found, as many of the best as are there", loc="left", size=9)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def _draw(axes: Axes, picture: Pixels, boxes: Found, classes: list[str], colour: str) -> None:
    axes.imshow(np.asarray(picture))
    axes.axis("off")
    scores = boxes["scores"].tolist() if "scores" in boxes else [None] * len(boxes["labels"])
    for (left, top, right, bottom), label, score in zip(
        boxes["boxes"].tolist(), boxes["labels"].tolist(), scores, strict=True
    ):
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, edgecolor=colour, linewidth=1.4))
        name = printable(classes[label])
        text = name if score is None else f"{name} {score:.2f}"
        axes.text(left, top, text, size=6, color="white", backgroundcolor=colour, va="top")

"""The worst mistakes of a test, as a picture."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from blockyard.leaderboard import atomic

Frames = NDArray[np.uint8]
_GAP = ((0, 0), (0, 2), (0, 0))


class ContactSheet(Callback):
    """Writes ``mistakes.png`` at the end of a test: a row a sample, what it is and what it was taken for.

    The mistakes with the largest loss come first. A video is shown by frames spread over its middle view, as the
    network saw them. The task must hold ``outcomes``, as :class:`~blockyard.tasks.Classification` does, and the data be
    pictures ``(H, W, C)`` or clips ``(T, H, W, C)`` of uint8; others are left alone.

    Args:
        directory: Where the picture goes.
        rows: At most so many mistakes are shown.
        columns: At most so many frames of each.
    """

    def __init__(self, directory: Path, rows: int = 12, columns: int = 8) -> None:
        self.directory = directory
        self.rows = rows
        self.columns = columns

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw."""
        outcomes: dict[str, Tensor] | None = getattr(pl_module, "outcomes", None)
        if not outcomes or not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        names, classes = data.names("test"), data.classes
        shown = []
        for index, target, predicted, probability in worst(outcomes, self.rows):
            frames = view_frames(data.split("test"), index, self.columns)
            if frames is None:
                return
            text = f"{names[index]}\n{classes[target]}\ntaken for {classes[predicted]} ({probability:.0%})"
            shown.append((text, frames))
        if shown:
            atomic.write(self.directory / "mistakes.png", draw(shown))


def worst(outcomes: dict[str, Tensor], rows: int) -> list[tuple[int, int, int, float]]:
    """Index, true class, predicted class and its probability of the mistakes with the largest loss.

    Args:
        outcomes: ``index``, ``target``, ``predicted``, ``probability``, ``loss``, ``(n,)`` each.
        rows: At most so many.
    """
    wrong = (outcomes["target"] != outcomes["predicted"]).nonzero().flatten()
    order = wrong[outcomes["loss"][wrong].argsort(descending=True, stable=True)][:rows]
    columns = [outcomes[name][order].tolist() for name in ("index", "target", "predicted", "probability")]
    return [(index, int(true), int(taken), p) for index, true, taken, p in zip(*columns, strict=True)]


def view_frames(split: Any, sample: int, columns: int) -> Frames | None:
    """Frames ``(F, H, W, C)``, F up to ``columns``, of the middle view of a sample; None if it is no picture."""
    pixels = np.asarray(split[sample * split.views + split.views // 2]["input"])
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3):
        return None
    clip = pixels[None] if pixels.ndim == 3 else pixels
    return clip[np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)]


def draw(rows: list[tuple[str, Frames]]) -> bytes:
    """A PNG with one row for each text and its frames."""
    strips = [np.concatenate([np.pad(frame, _GAP, constant_values=255) for frame in frames], 1) for _, frames in rows]
    widest = max(strip.shape[1] / strip.shape[0] for strip in strips)
    figure = Figure(figsize=(3.5 + widest, 1.1 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 2, squeeze=False, width_ratios=(3.5, widest))
    for (left, right), (text, _), strip in zip(grid, rows, strips, strict=True):
        left.axis("off")
        left.text(0, 0.5, text, va="center", size=7)
        right.axis("off")
        right.set_anchor("W")
        right.imshow(strip.squeeze(), cmap="gray", vmin=0, vmax=255)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

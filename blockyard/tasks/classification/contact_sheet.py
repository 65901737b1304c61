"""The worst mistakes of a test, as a picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from matplotlib import rc_context
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from blockyard import files

Frames = NDArray[np.uint8]
_GAP = ((0, 0), (0, 2), (0, 0))


class ContactSheet(Callback):
    """Writes ``mistakes.png`` at the end of a test: a row a sample, what it is and what it was taken for.

    The mistakes with the largest loss come first. A video is shown by frames spread over its middle view, as the
    network saw them, a recording by the spectrogram of its middle window. The task must hold ``outcomes``, as
    :class:`~blockyard.tasks.Classification` does, and the data be pictures ``(H, W, C)`` or clips ``(T, H, W, C)`` of
    uint8, or what the task's ``render`` makes a picture of; others are left alone.

    Args:
        directory: Where the picture goes.
        rows: At most so many mistakes are shown.
        columns: At most so many frames of each.
    """

    only_watches: ClassVar[bool] = True

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
        names, render = data.names("test"), getattr(pl_module, "render", None)
        mistakes = worst_tags if outcomes["target"].dim() == 2 else worst
        shown = []
        for index, text in mistakes(outcomes, data.classes, self.rows):
            frames = view_frames(data.split("test"), index, self.columns, render)
            if frames is None:
                return
            shown.append((f"{names[index]}\n{text}", frames))
        if shown:
            files.write(self.directory / "mistakes.png", draw(shown))


def worst(outcomes: dict[str, Tensor], classes: list[str], rows: int) -> list[tuple[int, str]]:
    """Index of the mistakes with the largest loss, and what each is and was taken for.

    Args:
        outcomes: ``index``, ``target``, ``predicted``, ``probability``, ``loss``, ``(n,)`` each.
        classes: Names of the classes.
        rows: At most so many.
    """
    wrong = (outcomes["target"] != outcomes["predicted"]).nonzero().flatten()
    order = wrong[outcomes["loss"][wrong].argsort(descending=True, stable=True)][:rows]
    columns = [outcomes[name][order].tolist() for name in ("index", "target", "predicted", "probability")]
    return [
        (index, f"{classes[int(true)]}\ntaken for {classes[int(taken)]} ({p:.0%})")
        for index, true, taken, p in zip(*columns, strict=True)
    ]


def worst_tags(outcomes: dict[str, Tensor], classes: list[str], rows: int) -> list[tuple[int, str]]:
    """Index of the samples with the largest loss among those of several labels, and their errors at one half.

    Args:
        outcomes: ``index`` and ``loss`` ``(n,)``, ``target`` and ``probability`` ``(n, K)``.
        classes: Names of the classes.
        rows: At most so many.
    """
    target, heard = outcomes["target"].bool(), outcomes["probability"] >= 0.5
    wrong = (target != heard).any(1).nonzero().flatten()
    order = wrong[outcomes["loss"][wrong].argsort(descending=True, stable=True)][:rows]

    def listed(labels: Tensor) -> str:
        return ", ".join(classes[k] for k in labels.nonzero().flatten().tolist()) or "nothing"

    return [(int(outcomes["index"][k]), f"{listed(target[k])}\ntaken for {listed(heard[k])}") for k in order.tolist()]


def view_frames(split: Any, sample: int, columns: int, render: Callable[[Any], Frames] | None = None) -> Frames | None:
    """Frames ``(F, H, W, C)``, F up to ``columns``, of the middle view of a sample; None if it is no picture.

    Args:
        split: The split.
        sample: Position of the sample in it.
        columns: At most so many frames.
        render: Makes frames of an input that is none.
    """
    views = split.items_of(sample)
    given = split[views[len(views) // 2]]["input"]
    pixels = np.asarray(given if render is None else render(given))
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[-1] not in (1, 3):
        return None
    clip = pixels[None] if pixels.ndim == 3 else pixels
    return clip[np.linspace(0, len(clip) - 1, min(columns, len(clip))).round().astype(int)]


@rc_context({"text.parse_math": False})  # names are no formulas
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

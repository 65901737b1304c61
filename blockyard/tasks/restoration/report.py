"""What a test of restoration shows."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid

from blockyard import files


class BeforeAfter(Callback):
    """Draws ``restored.png`` after a test: a few pictures as they came, as they were restored, and as they are.

    Args:
        directory: Where the file goes.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what the first process saw first."""
        task: Any = pl_module
        if task.shown and trainer.is_global_zero and not trainer.fast_dev_run:  # type: ignore[attr-defined]
            rows = [picture for row in task.shown for picture in row]
            files.write(self.directory / "restored.png", picture_png(make_grid(rows, nrow=3, padding=2)))


def picture_png(picture: Tensor) -> bytes:
    """A PNG of a picture ``(C, H, W)``, values from 0 to 1, of one channel or three."""
    pixels = (255 * picture).round().clamp(0, 255).to(torch.uint8).movedim(0, -1).cpu().numpy()
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG")
    return content.getvalue()

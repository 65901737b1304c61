"""Predicted masks, as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image
from torch import Tensor

from blockyard import files
from blockyard.tasks.picture_files import picture_files
from blockyard.tasks.segmentation.mask_colours import IGNORED, Pixels, overlay, table


class MaskWriter(Callback):
    """Writes each mask that a :class:`~blockyard.tasks.SemanticSegmentation` predicts, as soon as it is there.

    A mask is a PNG with the data's palette, its values those of the data's own mask files. The files have the names
    and folders of the inputs. Where the task asks for ``overlays``, the pictures with the masks over them go into a
    folder of that name beside the masks'. Every process writes its own.

    Args:
        directory: The folders ``masks`` and ``overlays`` go here.
    """

    only_watches: ClassVar[bool] = True

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: list[Path] = []

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Settle the names, before anything is written.

        Raises:
            ValueError: If two inputs would have one mask, or an input's name leads out of the folder.
        """
        self._files = picture_files(trainer.datamodule.names("predict"), "mask")  # type: ignore[attr-defined]

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: tuple[list[Tensor], Tensor],
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Write the masks of a batch, labels ``(H, W)`` each, and positions ``(B,)``."""
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        meaning = data.vocabulary
        for labels, index in zip(outputs[0], outputs[1].tolist(), strict=True):
            mask, file = labels.cpu().numpy(), self._files[index]
            files.write(self.directory / "masks" / file, mask_png(mask, meaning.palette, meaning.labels))
            if pl_module.overlays:
                picture = np.asarray(data.split("predict")[index]["input"])
                files.write(
                    self.directory / "overlays" / file, _png(Image.fromarray(overlay(picture, mask, meaning.palette)))
                )

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are."""
        if trainer.is_global_zero:
            print(f"{len(self._files)} masks in {self.directory / 'masks'}")


def mask_png(mask: Pixels, palette: Sequence[tuple[int, int, int]], labels: Mapping[int, int]) -> bytes:
    """A PNG of mode P.

    Args:
        mask: Labels ``(H, W)``.
        palette: Colours of the labels.
        labels: From the values of the data's mask files to labels; the PNG has the values.
    """
    values, colours = np.zeros(256, np.uint8), table([])
    for value, label in labels.items():
        if label != IGNORED:
            values[label], colours[value] = value, palette[label]
    picture = Image.fromarray(values[mask])  # of mode L; giving it a palette makes it one of mode P
    picture.putpalette(colours.tobytes())
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()

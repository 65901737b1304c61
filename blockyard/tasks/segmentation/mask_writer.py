"""Predicted masks, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules.segmentation.tiles import Tile, TiledPictures
from blockyard.tasks.picture_files import PictureFiles
from blockyard.tasks.segmentation.growing import GrowingFiles, Opened, Size, png
from blockyard.tasks.segmentation.mask_colours import IGNORED, Pixels, overlay, table

OVERLAYS, CONFIDENCE = "overlays", "confidence"


class MaskWriter(PictureFiles):
    """Writes each mask that a :class:`~blockyard.tasks.SemanticSegmentation` predicts, as soon as it is there.

    A mask is a PNG with the data's palette, its values those of the data's own mask files. The files have the names
    and folders of the inputs. Where the task asks for ``overlays``, the pictures with the masks over them go into a
    folder of that name beside the masks'; of its ``confidence``, grey pictures of the labels' probabilities, 255 for 1,
    likewise. Every process writes its own. Masks of pictures in tiles are written as these come.

    Args:
        directory: The folders ``masks``, ``overlays`` and ``confidence`` go here.
    """

    what: ClassVar[str] = "mask"
    folder: ClassVar[str] = "masks"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._growing: dict[int, GrowingFiles] = {}

    @property
    def results(self) -> list[Path]:
        """The folders that it writes to, or may write to."""
        return [self.directory / folder for folder in (self.folder, OVERLAYS, CONFIDENCE)]

    def write(self, task: Any, data: Any, predicted: Tensor, index: int) -> None:
        """Write labels ``(H, W)``, and what is asked for besides; of ``(2, H, W)`` the second is confidence.

        Nothing is written of a picture of which a tile could not be read.
        """
        split, (labels, *more) = data.split("predict"), predicted.cpu().numpy().reshape(-1, *predicted.shape[-2:])
        tile = split.tile(index) if isinstance(split, TiledPictures) else Tile.whole(labels.shape)
        position = split.sample_of(index)
        if position in self.unread:
            return
        meaning = data.vocabulary
        values, colours = file_values(meaning.palette, meaning.labels)
        pixels: dict[str, NDArray[Any]] = {self.folder: values[labels]}
        if task.overlays:
            pixels[OVERLAYS] = overlay(np.asarray(split[index]["input"]), labels, meaning.palette)
        if more:
            pixels[CONFIDENCE] = more[0]
        if tile.is_first:
            opened = {
                name: self._opened(position, name, tile.size, part, colours if name == self.folder else None)
                for name, part in pixels.items()
            }
            self._growing[position] = GrowingFiles(tile.size[1], opened)
        self._growing[position].add(tile, {name: part[tile.inside] for name, part in pixels.items()})
        if tile.is_last:
            del self._growing[position]

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where they are, and which inputs could not be read; of these nothing is left.

        Raises:
            ValueError: If none could.
        """
        self._drop_unfinished()
        super().on_predict_end(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave nothing of a mask that was not finished."""
        self._drop_unfinished()

    def _drop_unfinished(self) -> None:
        while self._growing:
            self._growing.popitem()[1].drop()

    def _opened(self, position: int, name: str, size: Size, like: NDArray[Any], colours: Pixels | None) -> Opened:
        channels = 3 if like.ndim == 3 else 1
        return png(self.place(name, position), size, dtype=like.dtype, channels=channels, palette=colours)


def file_values(
    palette: Sequence[tuple[int, int, int]], labels: Mapping[int, int]
) -> tuple[NDArray[Any], Pixels | None]:
    """What mask files hold: the value of every label, and the colour of every value.

    Args:
        palette: Colours of the labels.
        labels: From the values of the data's mask files to labels.

    Returns:
        Values ``(256,)``, of 16 bits where the data's files have some that a byte has not, and colours ``(256, 3)``;
        None for values of 16 bits, which have no palette.
    """
    known = {label: value for value, label in labels.items() if label != IGNORED}
    values: NDArray[Any] = np.zeros(256, np.uint8 if max(known.values(), default=0) <= IGNORED else np.uint16)
    for label, value in known.items():
        values[label] = value
    if values.dtype == np.uint16:
        return values, None
    colours = table([])
    for label, value in known.items():
        colours[value] = palette[label]
    return values, colours

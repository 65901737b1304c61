"""Predicted masks, as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules.segmentation.rasters import Rasters
from blockyard.datamodules.segmentation.tiles import Tile, TiledPictures
from blockyard.tasks.picture_files import PictureFiles
from blockyard.tasks.segmentation.growing import GrowingFiles, Opened, Size, geotiff, png
from blockyard.tasks.segmentation.mask_colours import IGNORED, Pixels, overlay, table

OVERLAYS, CONFIDENCE = "overlays", "confidence"


class MaskWriter(PictureFiles):
    """Writes each mask that a :class:`~blockyard.tasks.SemanticSegmentation` predicts, as soon as it is there.

    A mask is a PNG with the data's palette, its values those of the data's own mask files. The files have the names
    and folders of the inputs. Where the task asks for ``overlays``, the pictures with the masks over them go into a
    folder of that name beside the masks'; of its ``confidence``, grey pictures of the labels' probabilities, 255 for 1,
    likewise. Masks of GeoTIFF files are such, their confidence of floats from 0 to 1, with the place and the pixels
    without data of their inputs. Every process writes its own. Masks of pictures in tiles are written as these come.

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
        position, rasters = split.sample_of(index), _rasters(split)
        if position in self.unread:
            return
        void = None if rasters is None else rasters.void(position, tile.seen)
        labels = labels if void is None else np.where(void, np.uint8(IGNORED), labels)
        values, colours = file_values(data.vocabulary.palette, data.vocabulary.labels)
        pixels: dict[str, NDArray[Any]] = {self.folder: values[labels]}
        if task.overlays:
            under = split.visible(index, np.asarray(split[index]["input"]))
            pixels[OVERLAYS] = overlay(under, labels, data.vocabulary.palette)
        if more:
            pixels[CONFIDENCE] = more[0] if void is None else np.where(void, np.nan, more[0] / 255).astype(np.float32)
        if tile.is_first:
            told: dict[str, dict[str, Any]] = {self.folder: {"palette": colours}}
            if rasters is not None:
                told[self.folder]["nodata"], told[CONFIDENCE] = int(values[IGNORED]), {"nodata": np.nan}
            opened = {
                name: self._opened(position, name, tile.size, rasters, part, told.get(name, {}))
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

    def suffix(self, data: Any) -> str:
        """How the names of masks end: as those of their pictures, where they lie somewhere on Earth as these do."""
        return ".png" if _rasters(data.split("predict")) is None else ".tif"

    def _opened(
        self, position: int, name: str, size: Size, rasters: Rasters | None, part: NDArray[Any], told: dict[str, Any]
    ) -> Opened:
        options = {"dtype": part.dtype, "channels": 3 if part.ndim == 3 else 1, **told}
        place = self.place(name, position)
        return png(place, size, **options) if rasters is None else geotiff(place, rasters.raster(position), **options)


def _rasters(split: Any) -> Rasters | None:
    """The pictures of a split that know where they lie."""
    images = getattr(split, "images", None)
    return images if isinstance(images, Rasters) else None


def file_values(
    palette: Sequence[tuple[int, int, int]], labels: Mapping[int, int]
) -> tuple[NDArray[Any], Pixels | None]:
    """What mask files hold: the value of every label, and the colour of every value.

    Args:
        palette: Colours of the labels.
        labels: From the values of the data's mask files to labels.

    Returns:
        Values ``(256,)``, of 16 bits where the data's files have some that a byte has not, of 255 the largest byte that
        is no class; and colours ``(256, 3)``, None for values of 16 bits, which have no palette.
    """
    known = {label: value for value, label in labels.items() if label != IGNORED}
    values: NDArray[Any] = np.zeros(256, np.uint8 if max(known.values(), default=0) <= IGNORED else np.uint16)
    for label, value in known.items():
        values[label] = value
    values[IGNORED] = max({*range(256)}.difference(known.values()))
    if values.dtype == np.uint16:
        return values, None
    colours = table([])
    for label, value in known.items():
        colours[value] = palette[label]
    return values, colours

"""Predicted masks, as pictures."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image
from torch import Tensor

from blockyard.tasks.picture_files import PictureFiles
from blockyard.tasks.segmentation.mask_colours import IGNORED, Pixels, overlay, table


class MaskWriter(PictureFiles):
    """Writes each mask that a :class:`~blockyard.tasks.SemanticSegmentation` predicts, as soon as it is there.

    A mask is a PNG with the data's palette, its values those of the data's own mask files. The files have the names
    and folders of the inputs. Where the task asks for ``overlays``, the pictures with the masks over them go into a
    folder of that name beside the masks'; of its ``confidence``, grey pictures of the labels' probabilities, 255 for 1,
    likewise. Every process writes its own.

    Args:
        directory: The folders ``masks``, ``overlays`` and ``confidence`` go here.
    """

    what: ClassVar[str] = "mask"
    folder: ClassVar[str] = "masks"

    @property
    def results(self) -> list[Path]:
        """The folders that it writes to, or may write to."""
        return [self.directory / folder for folder in (self.folder, "overlays", "confidence")]

    def contents(self, task: Any, data: Any, predicted: Tensor, index: int) -> dict[str, bytes]:
        """The mask of labels ``(H, W)``, and what is asked for besides; of ``(2, H, W)`` the second is confidence."""
        mask, *more = predicted.cpu().numpy().reshape(-1, *predicted.shape[-2:])
        meaning = data.vocabulary
        found = {self.folder: mask_png(mask, meaning.palette, meaning.labels)}
        if task.overlays:
            picture = np.asarray(data.split("predict")[index]["input"])
            found["overlays"] = _png(Image.fromarray(overlay(picture, mask, meaning.palette)))
        if more:
            found["confidence"] = _png(Image.fromarray(more[0]))
        return found


def mask_png(mask: Pixels, palette: Sequence[tuple[int, int, int]], labels: Mapping[int, int]) -> bytes:
    """A PNG with a palette; of 16 bits, grey, where the data's files have values that a byte has not.

    Args:
        mask: Labels ``(H, W)``.
        palette: Colours of the labels.
        labels: From the values of the data's mask files to labels; the PNG has the values.
    """
    known = {label: value for value, label in labels.items() if label != IGNORED}
    values, colours = np.zeros(256, np.uint8 if max(known.values(), default=0) <= IGNORED else np.uint16), table([])
    for label, value in known.items():
        values[label] = value
    if values.dtype == np.uint16:
        return _png(Image.fromarray(values[mask]))
    for label, value in known.items():
        colours[value] = palette[label]
    picture = Image.fromarray(values[mask])  # of mode L; giving it a palette makes it one of mode P
    picture.putpalette(colours.tobytes())
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()

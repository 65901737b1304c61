"""Classification of multi-channel series: one label a recording, read in several windows."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from blockyard.datamodules import DataModule
from blockyard.datamodules.suggesting import Choice
from blockyard.tasks.classification.views import ViewClassification

PICTURE = (300, 72)
"""Width and height of the picture of a series."""


class SignalClassification(ViewClassification):
    """Names the class of each recording; the arguments are those of :class:`Classification`.

    The network sees windows of series ``(B, C, L)``, such as ``PreResNet`` with ``spatial_dims: 1``. In evaluation a
    recording is read in several windows, whose class probabilities are averaged; every metric and score is one of
    *recordings*. Those that can't be read are named, left out, and counted as ``test/missing_recordings``.
    """

    learns_from: ClassVar[tuple[str, ...]] = ("series with a class",)
    ranks: ClassVar[tuple[int, ...]] = (1,)
    called: ClassVar[str] = "recordings"

    @classmethod
    def untrained(cls, data: DataModule, **options: Any) -> Choice:
        """With a first convolution that spans nine samples, as series are smooth."""
        return super().untrained(data, **{"stem_kernel": 9} | options)

    def render(self, series: Tensor) -> NDArray[np.uint8]:
        """A picture ``(1, H, W, 1)`` of a series ``(C, L)``: a row a channel, from its least value to its greatest."""
        lowest, highest = series.aminmax(dim=1, keepdim=True)
        shades = (series - lowest) / (highest - lowest).clamp(min=1e-6) * 255
        return cv2.resize(shades.byte().numpy(), PICTURE, interpolation=cv2.INTER_AREA)[None, ..., None].astype(
            np.uint8
        )

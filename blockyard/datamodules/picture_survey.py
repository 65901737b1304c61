"""What pictures are like: their sizes, colours and mean values."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from blockyard.datamodules.images import IMAGENET_MEAN, IMAGENET_STD
from blockyard.datamodules.suggesting import Choice, spread
from blockyard.media.picture_files import Pixels
from blockyard.mistakes import printable

SMALLEST = 32
"""Pixels of a side below which a network with strides sees next to nothing."""
SIDED = re.compile(r"(?<![a-z])(left|right|(counter|anti)?-?clockwise)(?![a-z])")
"""In the name of a class: what a mirror turns into something else."""
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
DARKEST = 0.01
"""Least deviation that values are divided by, in units of the full range."""


@dataclass(frozen=True)
class Pictures:
    """What some pictures are like.

    Attributes:
        height: Median, in pixels.
        width: Median.
        alike: Whether all have one size.
        grey: Whether no pixel has a colour.
        mean: Of each channel, in units of the full range.
        std: Standard deviation of each channel.
    """

    height: int
    width: int
    alike: bool
    grey: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    @property
    def short(self) -> int:
        """The short side in pixels."""
        return min(self.height, self.width)

    def __str__(self) -> str:
        return f"median {self.height}×{self.width} pixels, {'grey' if self.grey else 'in colour'}"

    def normalisation(self, weights: bool) -> dict[str, Choice]:
        """``mean`` and ``std``: those of these pictures, unless trained weights expect ImageNet's."""
        if weights:
            why = "what most trained weights expect, ImageNet's"
            return {"mean": Choice(list(IMAGENET_MEAN), why), "std": Choice(list(IMAGENET_STD), "as the mean")}
        why = "of the training pictures: inputs of mean 0 and deviation 1"
        return {"mean": Choice(list(self.mean), why), "std": Choice(list(self.std), "as the mean")}

    def side(self, weights: bool) -> Choice:
        """A side for square inputs: as large as the pictures are, up to what training from nothing can use."""
        largest, why = (224, "trained weights expect about as much") if weights else (128, "more costs time above all")
        if self.short < SMALLEST:
            return Choice(SMALLEST, f"the pictures have {self.short} pixels: enlarged, so that strides leave a map")
        if self.short > largest:
            return Choice(largest, f"the pictures have {self.short} pixels; {why}")
        return Choice(self.short // 8 * 8, f"the pictures have {self.short} pixels: as many, in steps of 8")

    def flip(self, classes: Sequence[str] = (), masks: bool = False) -> Choice:
        """Whether the mirror image of one passes for another.

        Args:
            classes: Their names, which may speak of left and right.
            masks: Whether classes are of pixels or boxes, and mirrored as well.
        """
        for name in classes:
            if SIDED.search(HUMP.sub(" ", name).lower()):
                return Choice(False, f"the class {printable(name)} has a side, and a mirror image the other one")
        if masks:
            return Choice(True, "what has a label is mirrored with its picture")
        if self.grey:
            return Choice(False, "grey pictures are often of what has a left and a right: digits, letters, scans")
        return Choice(True, "the mirror image of a photograph is one; false if left and right tell classes apart")


def survey_pictures(files: Sequence[Pixels]) -> Pictures:
    """Look at pictures ``(H, W, 3)``, at even distances.

    Raises:
        DataError: If one can't be read.
    """
    sides, sums, grey = [], [], True
    for pixels in spread(files):
        values = pixels.reshape(-1, 3) / 255
        grey = grey and bool((pixels == pixels[..., :1]).all())
        sides.append(pixels.shape[:2])
        sums.append([values.mean(0), (values**2).mean(0)])
    height, width = (int(side) for side in np.median(sides, axis=0))
    mean, squares = np.mean(sums, axis=0)
    std = np.sqrt(np.maximum(squares - mean**2, DARKEST**2))
    alike = len(set(sides)) == 1
    return Pictures(height, width, alike, grey, _rounded(mean), _rounded(std))


def _rounded(values: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (round(float(value), 3) for value in values)
    return red, green, blue

"""Which way up a picture is shown: the display matrix that telephones write instead of turning the pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.frame import VideoFrame
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest share of a matrix's length that may lie beside the axes: fixed-point cosines of 90° are not quite 0."""


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways in which a rectangle can lie: first rows and columns change places, then they are flipped.

    Attributes:
        transposed: Whether rows and columns change places.
        upside_down: Whether the rows then come in reverse.
        mirrored: Whether the columns then come in reverse.
    """

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def apply(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A view ``(H', W', 3)`` of the stored picture ``(H, W, 3)`` as it is to be shown."""
        shown = pixels.swapaxes(0, 1) if self.transposed else pixels
        return shown[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


UPRIGHT = Orientation()


def orientation_of(frame: VideoFrame) -> Orientation:
    """How a player shows a picture; moving and resizing in the matrix have no meaning for pixels, nor has one of zeros.

    Raises:
        ValueError: If the matrix turns by something else than right angles, or shears.
    """
    stored = frame.side_data.get("DISPLAYMATRIX")
    if stored is None:
        return UPRIGHT
    # Row vectors: (x', y') = (x, y) @ m, x to the right and y downwards.
    m = np.frombuffer(stored, np.int32).reshape(3, 3)[:2, :2] / 2**16  # type: ignore[call-overload]
    along, across = np.abs(m.diagonal()), np.abs(m[::-1].diagonal())
    if not m.any():
        return UPRIGHT
    if across.max() <= TOLERANCE * along.min():
        return Orientation(False, bool(m[1, 1] < 0), bool(m[0, 0] < 0))
    if along.max() <= TOLERANCE * across.min():
        return Orientation(True, bool(m[0, 1] < 0), bool(m[1, 0] < 0))
    raise ValueError(f"its display matrix {m.round(2).tolist()} turns by something else than right angles")

"""Covariance: textures whose colours have the same means and variances, and differ in what goes together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from blockyard.samples.diagnostics.material import (
    GREY,
    Array,
    Pixels,
    Random,
    photographs,
    save_labelled,
    to_pixels,
    write_samples,
)
from blockyard.samples.voc_layout import save_picture

CANVAS = 32
CORRELATIONS = {
    "all": (1, 1, 1),
    "red-green": (1, -1, -1),
    "red-blue": (-1, 1, -1),
    "green-blue": (-1, -1, 1),
}
"""Signs of the correlations of red and green, red and blue, green and blue, by class."""
STRENGTH = 0.9
"""Of the positive correlations where all are; the others of three colours can't be as strong."""
CONTRAST = 30.0
"""Standard deviation of each colour, of 255."""
COARSE = 3.0
"""Standard deviation in pixels of the blur that is taken away, so that a texture is left."""
BRIGHTEST = 2.5
"""Standard deviations that a texture may be from its mean, or bright spots would be cut off in the file."""
SAMPLES = {"train": 1000, "val": 50, "test": 250}
"""Without their negatives."""


def write_covariance(root: Path, samples: Mapping[str, int] = SAMPLES, seed: int = 0) -> None:
    """Write textures cut from real photographs, a colour each, mixed by the class's covariance; and their negatives.

    Each colour of each picture has mean 127.5 and standard deviation 30, up to rounding and the rare clipping.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_samples`.
    """
    write_samples(root, {"generator": "covariance", "seed": seed}, samples, _write)


def mixing(title: str) -> Array:
    """The symmetric root ``(3, 3)`` of the class's correlation matrix."""
    signs = CORRELATIONS[title]
    matrix = np.eye(3)
    for (row, column), sign in zip(((0, 1), (0, 2), (1, 2)), signs, strict=True):
        matrix[row, column] = matrix[column, row] = sign * (STRENGTH if min(signs) > 0 else STRENGTH / 2)
    values, vectors = np.linalg.eigh(matrix)
    return ((vectors * np.sqrt(values)) @ vectors.T).astype(np.float32)


def _write(folder: Path, split: str, name: str, random: Random) -> None:
    save_labelled(folder / split, name, _draw(split, random), ".png", save_picture)


def _draw(split: str, random: Random) -> Iterator[tuple[str, Pixels]]:
    title = str(random.choice(list(CORRELATIONS)))
    textures = np.stack([_texture(_fine(split), random) for _ in range(3)], 2)
    values = _standardised(textures @ mixing(title))
    for turned in (1, -1):
        yield title, to_pixels(GREY + CONTRAST * turned * values)


@cache
def _fine(split: str) -> list[Array]:
    """What is fine in the photographs of a split, ``(H, W)`` each."""
    greys = [cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY).astype(np.float32) for photograph in photographs(split)]
    return [grey - cv2.GaussianBlur(grey, (0, 0), COARSE) for grey in greys]


def _texture(sources: list[Array], random: Random) -> Array:
    """Part of a photograph ``(32, 32)`` that is neither flat nor flat but for a few spots."""
    while True:
        source = sources[int(random.integers(len(sources)))]
        top, left = (int(random.integers(have - CANVAS + 1)) for have in source.shape)
        part = source[top : top + CANVAS, left : left + CANVAS]
        if part.std() < 2:
            continue
        even = _standardised(part).clip(-BRIGHTEST, BRIGHTEST)
        if even.std() > 0.8:
            return _standardised(even) * np.float32(random.choice((-1, 1)))


def _standardised(values: Array) -> Array:
    centred = values - values.mean((0, 1))
    return np.asarray(centred / centred.std((0, 1)), np.float32)

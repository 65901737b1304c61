"""Covariance: textures whose colours have the same means and variances, and differ in what goes together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from blockyard.samples.diagnostics.material import GREY, Array, Pixels, Random, to_pixels, write_folders
from blockyard.samples.photographs import read_photographs
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
"""Of the positive correlations; the negative ones of three colours can't all be as strong."""
CONTRAST = 40.0
"""Standard deviation of each colour, of 255."""
COARSE = 3.0
"""Standard deviation in pixels of the blur that is taken away, so that a texture is left."""
PARTS = {"train": (0.0, 0.7), "val": (0.7, 0.8), "test": (0.8, 1.0)}
"""Columns of the photographs, as shares of their width, that a split cuts from."""


def write_covariance(root: Path, train: int = 1000, val: int = 50, test: int = 250, seed: int = 0) -> None:
    """Write textures cut from real photographs, a colour each, mixed by the class's covariance; and their negatives.

    Each colour of each picture has mean 127.5 and the same variance, up to rounding and clipping. ``train``, ``val``
    and ``test`` count pictures without their negatives.

    Raises:
        DataError: As :func:`~blockyard.samples.diagnostics.material.write_folders`.
    """
    counts = {"train": train, "val": val, "test": test}
    write_folders(root, {"generator": "covariance", "seed": seed}, counts, _drawing, save_picture, ".png")


def mixing(title: str) -> Array:
    """The symmetric root ``(3, 3)`` of the class's correlation matrix."""
    signs = CORRELATIONS[title]
    matrix = np.eye(3)
    for (row, column), sign in zip(((0, 1), (0, 2), (1, 2)), signs, strict=True):
        matrix[row, column] = matrix[column, row] = sign * (STRENGTH if min(signs) > 0 else STRENGTH / 2)
    values, vectors = np.linalg.eigh(matrix)
    return ((vectors * np.sqrt(values)) @ vectors.T).astype(np.float32)


def _drawing(split: str) -> Callable[[Random], Iterator[tuple[str, Pixels]]]:
    first, end = PARTS[split]
    greys = [cv2.cvtColor(photograph, cv2.COLOR_RGB2GRAY).astype(np.float32) for photograph in read_photographs()]
    fine = [grey - cv2.GaussianBlur(grey, (0, 0), COARSE) for grey in greys]
    return partial(_draw, [part[:, int(first * part.shape[1]) : int(end * part.shape[1])] for part in fine])


def _draw(sources: list[Array], random: Random) -> Iterator[tuple[str, Pixels]]:
    title = str(random.choice(list(CORRELATIONS)))
    textures = np.stack([_texture(sources, random) for _ in range(3)], 2)
    values = _standardised(textures @ mixing(title))
    for turned in (1, -1):
        yield title, to_pixels(GREY + CONTRAST * turned * values)


def _texture(sources: list[Array], random: Random) -> Array:
    """Part of a photograph ``(32, 32)`` that is not flat."""
    while True:
        source = sources[int(random.integers(len(sources)))]
        top, left = (int(random.integers(have - CANVAS + 1)) for have in source.shape)
        part = source[top : top + CANVAS, left : left + CANVAS]
        if part.std() > 2:
            return _standardised(part) * np.float32(random.choice((-1, 1)))


def _standardised(values: Array) -> Array:
    centred = values - values.mean((0, 1))
    return np.asarray(centred / centred.std((0, 1)), np.float32)

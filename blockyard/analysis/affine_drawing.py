"""Drawings of the affine map that a classifier is at a picture, PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blockyard.analysis.graph_drawing import Pixels, Query, mark, png, show
from blockyard.analysis.graph_looking import Floats

COLOURS = "RdBu_r"
"""Red raises a logit, blue lowers it, white does neither."""


class Part(NamedTuple):
    """What is drawn of a picture.

    Attributes:
        name: What it is called.
        pixels: ``(H, W, C)`` as the network saw it.
        rows: What each pixel adds to the logit of a class, ``(H, W)``, by class, the largest logit first.
        sums: Logit, sum over the pixels, and constant of each class that is listed, in the same order.
        columns: What one unit at each query adds to these logits, ``(queries, classes)``.
    """

    name: str
    pixels: Pixels
    rows: Mapping[int, Floats]
    sums: Mapping[int, tuple[float, float, float]]
    columns: Floats


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(parts: Sequence[Part], queries: Sequence[Query], classes: Sequence[str]) -> bytes:
    """One row a picture: the picture, what its pixels add to some logits, and what the queries add to more.

    Args:
        parts: Of the pictures.
        queries: ``(y, x)`` in pixels.
        classes: Names.
    """
    count = len(parts[0].rows)
    figure = Figure(figsize=(2 * (2.4 + count), 2.2 * len(parts)), layout="constrained")
    grid = figure.subplots(len(parts), 2 + count, squeeze=False, width_ratios=[1] * (1 + count) + [1.4])
    for axes, part in zip(grid, parts, strict=True):
        show(axes[0], part.pixels)
        axes[0].set_title(part.name, size=7)
        for y, x in queries:
            mark(axes[0], y, x)
        most = max(float(np.abs(row).max()) for row in part.rows.values())
        for panel, (label, row) in zip(axes[1:], part.rows.items(), strict=False):
            logit, by, constant = part.sums[label]
            panel.imshow(row, cmap=COLOURS, vmin=-most, vmax=most)
            panel.set_axis_off()
            panel.set_title(f"{class_name(label, classes)}: {logit:.2f} = {by:.2f} {constant:+.2f}", size=7)
        _draw_columns(axes[-1], part, queries, classes)
    return png(figure)


def _draw_columns(axes: Axes, part: Part, queries: Sequence[Query], classes: Sequence[str]) -> None:
    most = float(np.abs(part.columns).max()) or 1.0
    axes.imshow(part.columns, cmap=COLOURS, vmin=-most, vmax=most, aspect="auto")
    axes.set_xticks(range(len(part.sums)), [class_name(label, classes) for label in part.sums], size=6, rotation=90)
    axes.set_yticks(range(len(queries)), [f"({y}, {x})" for y, x in queries], size=6)
    axes.set_title(f"one unit more: up to {most:.2g}", size=7)


def class_name(label: int, classes: Sequence[str]) -> str:
    """What a class is called, or its number where it has no name."""
    return classes[label] if label < len(classes) else str(label)

"""Drawings of the relevance of a picture's pixels, PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from blockyard.analysis.affine_drawing import COLOURS, class_name
from blockyard.analysis.graph_drawing import Pixels, png, show
from blockyard.analysis.graph_looking import Floats


class Part(NamedTuple):
    """What is drawn of a picture.

    Attributes:
        name: What it is called.
        pixels: ``(H, W, C)`` as the network saw it.
        heat: Relevance of each pixel, ``(H, W)``, by class, the largest logit first.
        logits: Of these classes.
    """

    name: str
    pixels: Pixels
    heat: Mapping[int, Floats]
    logits: Mapping[int, float]


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(parts: Sequence[Part], classes: Sequence[str]) -> bytes:
    """One row a picture: the picture, and which of its pixels speak for some classes (red) or against them (blue).

    Args:
        parts: Of the pictures.
        classes: Names.
    """
    count = max(len(part.heat) for part in parts)
    figure = Figure(figsize=(2 * (1 + count), 2.2 * len(parts)), layout="constrained")
    grid = figure.subplots(len(parts), 1 + count, squeeze=False)
    for axes, part in zip(grid, parts, strict=True):
        show(axes[0], part.pixels)
        axes[0].set_title(part.name, size=7)
        most = max(float(np.abs(heat).max()) for heat in part.heat.values()) or 1.0
        for panel, (label, heat) in zip(axes[1:], part.heat.items(), strict=True):
            panel.imshow(heat, cmap=COLOURS, vmin=-most, vmax=most)
            panel.set_axis_off()
            title = f"{class_name(label, classes)}: {part.logits[label]:.2f}, from pixels {heat.sum():.2f}"
            panel.set_title(title, size=7)
    return png(figure)

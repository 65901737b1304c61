"""Drawings of the evidence in a series, PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from blockyard.analysis.affine_drawing import COLOURS
from blockyard.analysis.graph_drawing import png
from blockyard.analysis.graph_looking import Floats


class Part(NamedTuple):
    """What is drawn of a series.

    Attributes:
        name: What it is called.
        series: ``(C, L)`` as the network saw it.
        heat: Evidence ``(C, L)`` by the name of a class, the largest logit first.
        logits: Of these classes.
    """

    name: str
    series: Floats
    heat: Mapping[str, Floats]
    logits: Sequence[float]


@rc_context({"text.parse_math": False})  # names are no formulas
def draw(parts: Sequence[Part], channels: Sequence[str], rate: float) -> bytes:
    """One row a series: its channels above each other, and what speaks for some classes (red) or against them (blue).

    Args:
        parts: Of the series.
        channels: Their names, from above.
        rate: Samples a second.
    """
    count, lines = len(parts[0].heat), parts[0].series.shape[0]
    height = max(1.8, 0.13 * lines)
    figure = Figure(figsize=(3.2 * (1 + count), height * len(parts) + 0.4), layout="constrained")
    grid = figure.subplots(len(parts), 1 + count, squeeze=False, sharey=True)
    for axes, part in zip(grid, parts, strict=True):
        seconds = part.series.shape[1] / rate
        times = (np.arange(part.series.shape[1]) + 0.5) / rate
        room = float(np.abs(part.series).max()) or 1.0
        axes[0].plot(times, np.arange(lines) - 0.6 * part.series.T / room, color="black", linewidth=0.4)
        axes[0].set_title(part.name, size=7)
        axes[0].set_yticks(range(lines), channels or [str(place) for place in range(lines)], size=5)
        most = max(float(np.abs(heat).max()) for heat in part.heat.values()) or 1.0
        for panel, (name, heat), logit in zip(axes[1:], part.heat.items(), part.logits, strict=True):
            extent = (0, seconds, lines - 0.5, -0.5)
            limits: dict[str, float] = {"vmin": -most, "vmax": most}
            shown = panel.imshow(heat, cmap=COLOURS, **limits, aspect="auto", extent=extent, interpolation="none")
            panel.set_title(f"{name}: {logit:.2f}, evidence {heat.sum():.2f}", size=7)
        scale = figure.colorbar(shown, ax=list(axes), fraction=0.03, pad=0.01)
        scale.ax.tick_params(labelsize=5)
        for panel in axes:
            panel.set(xlim=(0, seconds))
            panel.tick_params(labelsize=5)
    for panel in grid[-1]:
        panel.set_xlabel("seconds", size=6)
    return png(figure)

"""Drawings of graphs and filters, PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from blockyard.analysis.graph_looking import Floats, Graph
from blockyard.analysis.graph_spectrum import Response

Pixels = NDArray[np.uint8]
Query = tuple[int, int]
QUANTILES = ((0.1, 0.9, 0.15), (0.25, 0.75, 0.3))
"""Bands over the channels: from, to, opacity."""


@rc_context({"text.parse_math": False})  # names are no formulas
def draw_maps(rows: Sequence[tuple[str, Pixels, Graph]], queries: Sequence[Query]) -> bytes:
    """One row a picture: the picture, then what each query position sees, as heat over it.

    Args:
        rows: Name, picture ``(H, W, C)`` as the network saw it, and a block's graph of it.
        queries: ``(y, x)`` in pixels.
    """
    figure = Figure(figsize=(2 * (1 + len(queries)), 2.2 * len(rows)), layout="constrained")
    grid = figure.subplots(len(rows), 1 + len(queries), squeeze=False)
    for axes, (name, picture, graph) in zip(grid, rows, strict=True):
        show(axes[0], picture)
        axes[0].set_title(name, size=7)
        for y, x in queries:
            mark(axes[0], y, x)
        for panel, (y, x) in zip(axes[1:], queries, strict=True):
            height, width = picture.shape[:2]
            heat = graph.seen_from(y / height, x / width)
            # Dim and grey, or its own brightness would be taken for heat.
            show(panel, (picture.mean(2) * 0.4).astype(np.uint8))
            extent = (-0.5, width - 0.5, height - 0.5, -0.5)
            panel.imshow(heat, cmap="inferno", alpha=0.75, extent=extent, vmin=min(0.0, heat.min()))
            mark(panel, y, x)
            panel.set_title(f"from ({y}, {x}): up to {heat.max():.2g}", size=7)
    return png(figure)


def show(axes: Axes, picture: Pixels) -> None:
    """Draw a picture ``(H, W, C)`` of one or three channels."""
    axes.imshow(picture.squeeze(), cmap="gray", vmin=0, vmax=255)
    axes.set_axis_off()


def mark(axes: Axes, y: int, x: int) -> None:
    """Draw a ring around a pixel."""
    axes.plot(x, y, marker="o", markersize=8, markerfacecolor="none", markeredgecolor="cyan", markeredgewidth=1.5)


def draw_response(title: str, found: Response, frequencies: Sequence[tuple[str, Floats]]) -> bytes:
    """What a block does to each graph frequency, and below it how many of the frequencies each picture's graph has.

    Args:
        title: What is drawn.
        found: The response: median over the output channels, and bands from the 10th to the 90th percentile and
            between the quartiles.
        frequencies: Name of a picture and the graph frequencies of its graph.
    """
    figure = Figure(figsize=(5.5, 6.5), layout="constrained")
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    for axes, values in ((top, found.gain), (middle, found.added)):
        axes.plot(found.frequency, np.median(values, 1), color="C0")
        for low, high, opacity in QUANTILES:
            band = np.quantile(values, (low, high), axis=1)
            axes.fill_between(found.frequency, *band, color="C0", alpha=opacity, linewidth=0)
        axes.grid(alpha=0.3)
    top.set(ylabel="gain of the block", title=title)
    middle.set(ylabel="gain of what it adds", ylim=(0, None))
    bins = np.linspace(found.frequency.min(), found.frequency.max(), 61).tolist()
    for name, values in frequencies:
        bottom.hist(values, bins, histtype="step", label=name)
    bottom.set(yscale="log", xlabel="graph frequency 1 − λ (0: smooth)", ylabel="how many in a picture")
    if len(frequencies) <= 6:
        bottom.legend(fontsize=7)
    return png(figure)


def png(figure: Figure) -> bytes:
    """The file of a drawing."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    return picture.getvalue()

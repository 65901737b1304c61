"""Drawings of what searches found: accuracy against each cost, PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from blockyard.analysis.graph_drawing import png

Rows = Sequence[Mapping[str, float]]
"""Networks with what they are worth and cost, by name; ``low`` and ``high`` are the ends of the accuracy's interval."""


def draw_fronts(found: Mapping[str, tuple[Rows, Rows]], whole: Mapping[str, float], objectives: Sequence[str]) -> bytes:
    """A panel for each cost: all networks of each search as dots, its front as a line with intervals.

    Args:
        found: By what searches are called, all that each judged, and its front.
        whole: The network that they began with.
        objectives: What they looked at.
    """
    first = "accuracy" if "accuracy" in objectives else objectives[0]
    costs = [name for name in objectives if name != first]
    figure = Figure(figsize=(5 * len(costs), 3.8), layout="constrained")
    for axes, cost in zip(figure.subplots(1, len(costs), squeeze=False)[0], costs, strict=True):
        for name, (every, best) in found.items():
            colour = axes.scatter(_of(every, cost), _of(every, first), s=8, alpha=0.35, linewidths=0).get_facecolor()
            _line(axes, name, best, cost, first, colour[0, :3].tolist())
        axes.plot(whole[cost], whole[first], "k*", label="whole")
        axes.set(xlabel=cost, ylabel=first)
        axes.set_xscale("log")
    figure.axes[0].legend(fontsize=7)
    return png(figure)


def _line(axes: Axes, name: str, best: Rows, cost: str, first: str, colour: Sequence[float]) -> None:
    ordered = sorted(best, key=lambda one: one[cost])
    x, y = _of(ordered, cost), _of(ordered, first)
    if first == "accuracy":
        ends = np.abs(np.stack([_of(ordered, "low"), _of(ordered, "high")]) - y)
        axes.errorbar(x, y, ends, color=colour, marker=".", linewidth=1, elinewidth=0.7, capsize=2, label=name)
    else:
        axes.plot(x, y, color=colour, marker=".", linewidth=1, label=name)


def _of(rows: Rows, name: str) -> np.ndarray:
    return np.array([row[name] for row in rows], float)

"""Drawings of kernels between samples, PNG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from blockyard.analysis.graph_drawing import Pixels, png, show
from blockyard.analysis.graph_looking import Floats


def draw(samples: Sequence[tuple[str, Pixels]], kernel: Floats) -> bytes:
    """The samples, their kernel as cosines, and its eigenvalues as shares of their sum.

    Args:
        samples: Name and picture ``(H, W, C)``.
        kernel: ``(n, n)``, symmetric.
    """
    count = len(samples)
    figure = Figure(figsize=(9, 4), layout="constrained")
    ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=[1.2, 1])
    grid = left.subplots(count, 2, squeeze=False, width_ratios=[1, count], gridspec_kw={"wspace": 0, "hspace": 0})
    for axes, (_, picture) in zip(grid[:, 0], samples, strict=True):
        show(axes, picture)
    for axes in grid[:, 1]:
        axes.remove()
    heat = left.add_subplot(grid[0, 1].get_gridspec()[:, 1])
    length = np.sqrt(np.diag(kernel))
    cosines = kernel / np.where(length > 0, length, 1) / np.where(length > 0, length, 1)[:, None]
    drawn = heat.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1)
    heat.set_xticks(range(count), [name for name, _ in samples], size=6, rotation=90, parse_math=False)
    heat.set_yticks([])
    heat.set_title("cosines of gradients", size=8)
    left.colorbar(drawn, ax=heat, shrink=0.8)
    axes = right.subplots()
    eigenvalues = np.linalg.eigvalsh(kernel)[::-1]
    axes.semilogy(np.arange(1, count + 1), eigenvalues / eigenvalues.sum(), "o-")
    axes.set(xlabel="number", ylabel="share of the trace")
    axes.set_title("eigenvalues", size=8)
    axes.grid(alpha=0.3)
    return png(figure)

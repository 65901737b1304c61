"""Drawings of how losses and gradients change along steps, PNG, and the numbers of them, JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from blockyard.analysis.graph_drawing import png
from blockyard.analysis.landscape import Landscape


def draw_steps(found: Mapping[str, Landscape]) -> bytes:
    """A curve for each landscape: the loss at each η, and the gradient's change for each unit of the way there.

    Args:
        found: By what they are called.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name, one in found.items():
        (line,) = left.plot(one.steps, one.losses, marker=".", label=name)
        left.axhline(one.loss, color=line.get_color(), linestyle=":", linewidth=1)
        lengths = [step * one.gradient_norm or 1.0 for step in one.steps]
        right.plot(one.steps, np.divide(one.gradient_changes, lengths), marker=".")
    left.set(xscale="log", xlabel="step size η", ylabel="loss at θ − η g (dotted: at θ)")
    right.set(xscale="log", xlabel="step size η", ylabel="change of the gradient / way", ylim=(0, None))
    left.legend(fontsize=7)
    return png(figure)


def draw_training(runs: Mapping[str, Mapping[int, Landscape]]) -> bytes:
    """For each run, over its optimiser steps: between which losses, and which changes of the gradient, a step leads.

    Args:
        runs: By what they are called, each the landscapes by optimiser step.
    """
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    panels = figure.subplots(1, 3)
    for name, measured in runs.items():
        at, found = list(measured), list(measured.values())
        for axes, ranges in (
            (panels[0], [one.loss_range for one in found]),
            (panels[1], [(min(one.gradient_changes), max(one.gradient_changes)) for one in found]),
        ):
            low, high = zip(*ranges, strict=True)
            band = axes.fill_between(at, low, high, alpha=0.4, label=name, linewidth=0)
            axes.plot(at, high, color=band.get_facecolor()[0, :3].tolist(), linewidth=0.8)
        panels[2].plot(at, [one.smoothness for one in found], linewidth=0.8)
    for axes, what in zip(
        panels, ("loss along a step", "change of the gradient along it", "smoothness β"), strict=True
    ):
        axes.set(xlabel="optimiser step", ylabel=what, yscale="log")
    panels[0].legend(fontsize=7)
    return png(figure)


def numbers(found: Landscape) -> dict[str, Any]:
    """What was measured, with the two constants; None where a number is not finite."""
    derived = {"lipschitz": found.lipschitz, "smoothness": found.smoothness}
    return {name: _finite(value) for name, value in (asdict(found) | derived).items()}


def to_json(rows: Sequence[Mapping[str, Any]]) -> bytes:
    """The file of what was measured."""
    return (json.dumps(rows, indent=1, ensure_ascii=False) + "\n").encode()


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_finite(one) for one in value]
    return value if math.isfinite(value) else None

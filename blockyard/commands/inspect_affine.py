"""``blockyard inspect --what affine``: what each pixel weighs in a logit, all activations held."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from blockyard import files
from blockyard.analysis.affine import AffineMap, affine_map
from blockyard.analysis.affine_drawing import Part, draw
from blockyard.commands.shown import Shown
from blockyard.composing.suite import SuiteCLI
from blockyard.progress import at_work
from blockyard.tasks import Classification

SHOWN, LISTED = 3, 10
"""Classes with the largest logits of a picture: whose pixels are drawn, and that are listed."""


def insist_on_logits(cli: SuiteCLI, what: str = "affine") -> None:
    """Refuse what gives no logit of each class.

    Args:
        cli: With the task.
        what: What is asked of it.

    Raises:
        ValueError: If this is no classification.
    """
    if not isinstance(cli.model, Classification):
        raise ValueError(f"inspect: --what {what} is of classifiers' logits; {type(cli.model).__name__} has no such")


def answer(cli: SuiteCLI, pictures: Sequence[Shown], queries: Sequence[tuple[int, int]], output: Path) -> None:
    """Write ``affine.png`` and ``affine.json``, and say how exact the maps are.

    Args:
        cli: With network and data.
        pictures: What the network is asked about.
        queries: ``(y, x)`` in pixels, whose weight in every class is drawn.
        output: Folder.

    Raises:
        ValueError: If the network is no affine map.
    """
    classes: list[str] = list(getattr(cli.datamodule, "classes", []))
    rows, numbers, worst = list[Part](), list[dict[str, Any]](), 0.0
    with at_work("holding activations", len(pictures)) as step:
        for shown in pictures:
            found = affine_map(cli.model.network, shown.input)
            part = _part(found, shown, queries)
            numbers.append(_numbers(part, classes))
            rows.append(part)
            worst = max(worst, max(abs(logit - by - constant) for logit, by, constant in part.sums.values()))
            step()
    files.write(output / "affine.png", draw(rows, queries, classes))
    files.write(output / "affine.json", (json.dumps(numbers, indent=1, ensure_ascii=False) + "\n").encode())
    print(f"A x + b is the logit to {worst:.1g}: {output / 'affine.png'}, {output / 'affine.json'}")


def _part(found: AffineMap, shown: Shown, queries: Sequence[tuple[int, int]]) -> Part:
    logits, constant, x = found.output[0], found.constant[0], found.input[0]
    order = logits.argsort(descending=True)[:LISTED].tolist()
    weighed = {label: (found.row(label) * x).sum(0) for label in order}
    sums = {k: (float(logits[k]), float(weighed[k].sum()), float(constant[k])) for k in order}
    columns = [
        torch.stack([found.column(channel, y, x_)[order] for channel in range(len(x))]).sum(0) for y, x_ in queries
    ]
    return Part(
        shown.name,
        shown.pixels,
        {label: weighed[label].numpy() for label in order[:SHOWN]},
        sums,
        torch.stack(columns).numpy(),
    )


def _numbers(part: Part, classes: Sequence[str]) -> dict[str, Any]:
    """What is drawn, and the rest of the classes that are listed."""
    listed = [
        {"class": classes[k] if k < len(classes) else str(k), "logit": logit, "by_pixels": by, "constant": constant}
        for k, (logit, by, constant) in part.sums.items()
    ]
    return {"picture": part.name, "classes": listed}

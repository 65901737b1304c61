"""``blockyard inspect --what relevance``: what each pixel has contributed to a logit, handed down layer by layer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from blockyard import files
from blockyard.analysis.relevance import RuleName, relevance
from blockyard.analysis.relevance_drawing import Part, draw
from blockyard.backbones import Backbone
from blockyard.commands.shown import Shown
from blockyard.composing.suite import SuiteCLI
from blockyard.plugging.places import stock_network
from blockyard.progress import at_work

SHOWN = 3
"""Classes with the largest logits of a picture, whose relevance is drawn."""


def answer(cli: SuiteCLI, pictures: Sequence[Shown], rule: RuleName, output: Path) -> None:
    """Write ``relevance.png`` and ``relevance.json``, and say how much of the logits has reached the pixels.

    Args:
        cli: With network and data.
        pictures: What the network is asked about.
        rule: Of :func:`~blockyard.analysis.relevance.relevance`.
        output: Folder.

    Raises:
        ValueError: If the network does something else at each run.
    """
    classes: list[str] = list(getattr(cli.datamodule, "classes", []))
    parts, numbers = list[Part](), list[dict[str, Any]]()
    with at_work("handing down relevance", len(pictures)) as step:
        for shown in pictures:
            part, stages = _asked(cli.model.network, shown, rule)
            parts.append(part)
            numbers.append(_numbers(part, stages, classes))
            step()
    files.write(output / "relevance.png", draw(parts, classes))
    told = {"rule": rule, "pictures": numbers}
    files.write(output / "relevance.json", (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode())
    shares = [float(heat.sum()) / part.logits[label] for part in parts for label, heat in list(part.heat.items())[:1]]
    least, most = min(shares), max(shares)
    told_share = f"{least:.0%}" if f"{least:.0%}" == f"{most:.0%}" else f"{least:.0%} to {most:.0%}"
    print(
        f"{rule}: pixels have {told_share} of the largest logit, biases the rest: "
        f"{output / 'relevance.png'}, {output / 'relevance.json'}"
    )


def _asked(network: Any, shown: Shown, rule: RuleName) -> tuple[Part, dict[int, dict[str, float]]]:
    """The relevance of a picture's pixels for its largest logits, and its sum at each stage."""
    with torch.no_grad():
        logits = network.eval()(shown.input)[0]
    order: list[int] = logits.argsort(descending=True)[:SHOWN].tolist()
    paths = _stages(network)
    heat, stages = {}, {}
    for label in order:
        asked = torch.tensor([label], device=logits.device)
        found = relevance(network, shown.input, asked, rule, at=paths.values())
        heat[label] = found.input[0].sum(0).cpu().numpy()
        stages[label] = {name: _sum(found.maps[path]) for name, path in paths.items()}
    return Part(shown.name, shown.pixels, heat, {label: float(logits[label]) for label in order}), stages


def _stages(network: Any) -> dict[str, str]:
    """Where the stages of a backbone are in a network, by name."""
    if not isinstance(network, Backbone):
        return {}
    stock = stock_network(network)
    above = next(path for path, module in network.named_modules() if module is stock)
    return {
        f"stage{number}": f"{above}.{stage.path}" if above else stage.path
        for number, stage in enumerate(network.stages, 1)
    }


def _sum(x: Tensor) -> float:
    return float(x.sum())


def _numbers(part: Part, stages: dict[int, dict[str, float]], classes: Sequence[str]) -> dict[str, Any]:
    """What is drawn, and what is left of a logit at each stage, in the order of the drawing."""
    listed = [
        {
            "class": classes[label] if label < len(classes) else str(label),
            "logit": part.logits[label],
            **stages[label],
            "pixels": float(heat.sum()),
        }
        for label, heat in part.heat.items()
    ]
    return {"picture": part.name, "classes": listed}

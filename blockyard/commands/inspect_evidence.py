"""``blockyard inspect --what evidence``: what each channel of a series adds to a logit at each time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from blockyard import files
from blockyard.analysis.affine_drawing import class_name
from blockyard.analysis.evidence import evidence
from blockyard.analysis.evidence_drawing import Part, draw
from blockyard.commands.shown import series_from_samples
from blockyard.composing.suite import SuiteCLI

SHOWN = 2
"""Classes with the largest logits of a series, whose evidence is drawn."""


def answer(cli: SuiteCLI, numbers: Sequence[int], output: Path) -> None:
    """Write ``evidence.png`` and ``evidence.json``, and say how exact the sums are.

    Args:
        cli: With network and data.
        numbers: Samples of the test split.
        output: Folder.

    Raises:
        ValueError: If the network's logits can't be drawn back, or a sample is no series.
    """
    data: Any = cli.datamodule
    channels, classes = data.layout.names if hasattr(data, "layout") else (), list(data.classes)
    parts, numbers_of, worst = list[Part](), list[dict[str, Any]](), 0.0
    for name, x in series_from_samples(data, numbers):
        found = evidence(cli.model.network, x)
        sums = found.values.sum((2, 3))[0]
        worst = max(worst, float((sums + found.bias - found.logits[0]).abs().max()))
        order = found.logits[0].argsort(descending=True).tolist()
        numbers_of.append(_numbers(name, found.values[0].sum(2), found.logits[0], found.bias, order, channels, classes))
        heat = {class_name(k, classes): found.values[0, k].numpy() for k in order[:SHOWN]}
        parts.append(Part(name, x[0].numpy(), heat, [float(found.logits[0, k]) for k in order[:SHOWN]]))
    files.write(output / "evidence.png", draw(parts, channels, getattr(data, "sample_rate", 1)))
    files.write(output / "evidence.json", (json.dumps(numbers_of, indent=1, ensure_ascii=False) + "\n").encode())
    told = f"{output / 'evidence.png'}, {output / 'evidence.json'}"
    print(f"evidence and bias are the logit to {worst:.1g}: {told}")


def _numbers(
    name: str,
    by_channel: Tensor,
    logits: Tensor,
    bias: Tensor,
    order: Sequence[int],
    channels: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Of each class, the largest logit first, what each channel adds in all."""
    called = channels or [str(place) for place in range(by_channel.shape[1])]
    listed = [
        {
            "class": class_name(k, classes),
            "logit": float(logits[k]),
            "bias": float(bias[k]),
            "by_channel": dict(zip(called, by_channel[k].tolist(), strict=True)),
        }
        for k in order
    ]
    return {"sample": name, "classes": listed}

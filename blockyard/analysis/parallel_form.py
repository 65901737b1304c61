"""How far the stages of a trained network are from the sums of their units (Make Deep Networks Shallow Again, 2023)."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.blocks import ParallelSum
from blockyard.plugging import PlugError, plug, stage_paths, undisturbed


@dataclass(frozen=True)
class ParallelForm:
    """What becomes of a network when one stage is x + Σ Fᵢ(x) in place of its stack, with the same weights.

    Attributes:
        stage: Which one.
        distance: ‖stack(x) - sum(x)‖ / ‖stack(x)‖ of the stage's maps, of all samples together.
        agreement: Share of the samples whose largest output stays the same one.
        refusal: Why the stage has no such form; empty where it has.
    """

    stage: str
    distance: float | None = None
    agreement: float | None = None
    refusal: str = ""


def parallel_forms(network: nn.Module, samples: Sequence[Tensor]) -> list[ParallelForm]:
    """Put each stage by itself into its parallel form, and compare.

    Args:
        network: From ``(1, C, *S)`` to logits ``(1, K)``; left as it is, and run in evaluation.
        samples: Inputs ``(1, C, *S)``, of any sizes that the network takes.

    Raises:
        ValueError: If the network has no known stages.
    """
    stages = list(stage_paths(network))
    if not stages:
        raise ValueError(f"{type(network).__name__} has no known stages, whose parallel form there could be")
    found = []
    for stage in stages:
        try:
            other = plug(
                copy.deepcopy(network), ParallelSum, stage, mode="around", example=samples[0].clone(), quiet=True
            )
        except PlugError as error:
            found.append(ParallelForm(stage, refusal=str(error)))
            continue
        stack, summed = (_seen(one, stage, samples) for one in (network, other))
        off = sum(float((a - b).square().sum()) for (a, _), (b, _) in zip(stack, summed, strict=True))
        size = sum(float(a.square().sum()) for a, _ in stack)
        same = [a.argmax() == b.argmax() for (_, a), (_, b) in zip(stack, summed, strict=True)]
        found.append(ParallelForm(stage, (off / size) ** 0.5, float(torch.stack(same).float().mean())))
    return found


def _seen(network: nn.Module, stage: str, samples: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """What the stage, and what the network gives of each sample, in float64."""
    maps: list[Tensor] = []
    given: Any = network.get_submodule(stage_paths(network)[stage])
    handle = given.register_forward_hook(lambda _, __, y: maps.append(y.double()))
    try:
        with undisturbed(network):
            outputs = [network(x).double() for x in samples]
    finally:
        handle.remove()
    return list(zip(maps, outputs, strict=True))

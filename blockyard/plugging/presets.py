"""The places that papers put their blocks, by one word: ``at="one-in-res4"``."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from torch import nn

from blockyard.plugging.places import Place, PlugError, select


def named_places(network: nn.Module, pattern: str) -> list[Place]:
    """The places of a preset, or those that a pattern names.

    Raises:
        PlugError: If there is none, or the network has too few units for the preset.
    """
    name = pattern.strip()
    preset = PRESETS.get(name)
    if preset is not None:
        try:
            return [place for path in preset(network) for place in select(network, path)]
        except PlugError as error:
            raise PlugError(f"{name}: {error}") from error
    try:
        return select(network, pattern)
    except PlugError as error:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.7)
        if not near:
            raise
        raise PlugError(f"{error}; did you mean {near[0]}?") from error


def _one_in_res4(network: nn.Module) -> list[str]:
    return ["stage3.-2"]


def _five_in_res3_res4(network: nn.Module) -> list[str]:
    return _spread(network, "stage2", 2) + _spread(network, "stage3", 3)


def _nvan_five(network: nn.Module) -> list[str]:
    return ["stage2.-2", "stage2.-1", "stage3.-3", "stage3.-2", "stage3.-1"]


def _spread(network: nn.Module, stage: str, count: int) -> list[str]:
    """After every ⌊depth / count⌋-th unit of a stage: 1, 3, 5 of six, and 6, 13, 20 of ResNet-101's 23."""
    depth = len(select(network, f"{stage}.*"))
    step = depth // count
    if step < 1:
        raise PlugError(f"{stage} has {depth} units, too few for {count} blocks")
    return [f"{stage}.{step * (i + 1) - 1}" for i in range(count)]


PRESETS: dict[str, Callable[[nn.Module], list[str]]] = {
    "one-in-res4": _one_in_res4,
    "five-in-res3-res4": _five_in_res3_res4,
    "nvan-five": _nvan_five,
}
"""``one-in-res4``: before the last residual block of res4 (Wang et al., CVPR 2018; Zhu et al., ICCV 2021).
``five-in-res3-res4``: two blocks in res3, three in res4, evenly (Wang et al.): after every other residual block of a
ResNet-50, and after every seventh of a ResNet-101's res4. ``nvan-five``: after the last two units of res3 and the last
three of res4 (Liu et al., Spatially and Temporally Efficient Non-local Attention Network for Video-based Person
Re-Identification, BMVC 2019), there over all frames: ``space-time nvan-five``."""

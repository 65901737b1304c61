"""What the nonlocal blocks of a network make of a picture: their affinities."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from blockyard.blocks import GraphBlock
from blockyard.plugging import undisturbed

Floats = NDArray[np.float64]
LARGEST = 8192
"""Positions of the largest map whose matrix is built: half a gigabyte."""


@dataclass(frozen=True)
class Graph:
    """The affinity of a block for one picture.

    Attributes:
        place: Where the block is plugged in.
        matrices: A of each head, ``(heads, N, M)``: position i, in rows, sees j with weight A_ij.
        size: ``(h, w)`` of the map, N = h w.
        keys: ``(h, w)`` of what the positions look at, M = h w: smaller where keys are pooled.
    """

    place: str
    matrices: Floats
    size: tuple[int, int]
    keys: tuple[int, int]

    def seen_from(self, y: float, x: float) -> Floats:
        """What one position sees, ``(h, w)`` of the keys, the mean over the heads.

        Args:
            y: The position from top (0) to bottom (1).
            x: The position from left (0) to right (1).

        Raises:
            ValueError: If it is outside.
        """
        if not (0 <= y < 1 and 0 <= x < 1):
            raise ValueError(f"({y}, {x}) is outside the picture")
        row = int(y * self.size[0]) * self.size[1] + int(x * self.size[1])
        mean: Floats = self.matrices[:, row].mean(0).reshape(self.keys)
        return mean


def graph_blocks(network: nn.Module) -> dict[str, GraphBlock]:
    """The blocks of a network that have an affinity between positions, by the place they are plugged in at."""
    found = {name: module for name, module in network.named_modules() if isinstance(module, GraphBlock)}
    places = Counter(_place(name) for name in found)
    return {place if places[place := _place(name)] == 1 else name: block for name, block in found.items()}


def _place(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in ("host", "block"))


def look(network: nn.Module, picture: Tensor) -> list[Graph]:
    """Run a network on one picture, and return the affinity of each of its graph blocks there.

    The network runs as it is, in evaluation; each affinity is computed from what its block was given, in float64.

    Args:
        network: A network with graph blocks; left as it was.
        picture: ``(1, C, H, W)``.

    Raises:
        ValueError: If a block sees no picture, or one of more than :data:`LARGEST` positions.
    """
    given: dict[str, Tensor] = {}
    blocks = graph_blocks(network)

    def keep(place: str) -> Any:
        return lambda _, arguments: given.setdefault(place, arguments[0].detach())

    hooks = [block.register_forward_pre_hook(keep(place)) for place, block in blocks.items()]
    try:
        with undisturbed(network):
            network(picture)
    finally:
        for hook in hooks:
            hook.remove()
    return [_graph(place, block, given[place]) for place, block in blocks.items() if place in given]


def _graph(place: str, block: GraphBlock, x: Tensor) -> Graph:
    if x.dim() != 4:
        raise ValueError(f"{place}: its graph is over {x.dim() - 2} axes, and only pictures, of two, can be drawn")
    height, width = x.shape[2:]
    if height * width > LARGEST:
        raise ValueError(f"{place}: {height}×{width} positions are more than {LARGEST}; give a smaller picture")
    with torch.no_grad():
        matrices = copy.deepcopy(block).double().eval().operator(x.double()).dense()
    keys = _keys(matrices.shape[2], (height, width))
    return Graph(place, matrices.cpu().numpy(), (height, width), keys)


def _keys(count: int, size: tuple[int, int]) -> tuple[int, int]:
    """The map of the keys: the positions' own, or that pooled by two."""
    pooled = max(1, size[0] // 2), max(1, size[1] // 2)
    return size if count == math.prod(size) else pooled

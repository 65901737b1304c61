"""The branches of an Inception-ResNet's units: small, doubled or long kernels side by side, then one linear map."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.mixers.convolutions import bands

Kind = Literal["A", "B", "C"]
WIDTHS: dict[str, tuple[int, int, int, int]] = {
    "A": (320, 32, 32, 32),
    "B": (1088, 192, 128, 192),
    "C": (2080, 192, 192, 256),
}
"""In Inception-ResNet-v2: C, channels of the first branch, and of the second one at its beginning and at its end."""
BANDS = {"B": 7, "C": 3}
"""Taps of the kernels that run along one axis."""


class InceptionBranches(Block):
    """Y = s W [B₁(x), B₂(x), …] + s b: what a unit of an Inception-ResNet adds to its map, before the ReLU of the sum.

    B₁ is a 1×1 convolution, and each other branch one with more behind it. Kind A: 3×3 in the second, twice 3×3 in the
    third. B and C: in the second, 7 or 3 taps along each axis in turn, from the last to the first. Every convolution
    has a batch norm and a ReLU; channels are those of Inception-ResNet-v2's 35×35, 17×17 or 8×8 units, by C.

    Args:
        channels: Channels C; 320, 1088 and 2080 are the paper's.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        kind: Which unit it is of.
        scale: s; the paper has from 0.1 to 0.3, and finds that wide networks do not learn at 1.

    Raises:
        ValueError: If there is no such kind.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = (
        "Szegedy et al., Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning, AAAI 2017"
    )

    def __init__(self, channels: int, spatial_dims: int = 2, *, kind: Kind = "A", scale: float = 0.2) -> None:
        super().__init__(channels, spatial_dims)
        if kind not in WIDTHS:
            raise ValueError(f"InceptionBranches: kind must be one of {', '.join(WIDTHS)}, got {kind!r}")
        stock, *paper = WIDTHS[kind]
        self.scale = scale

        def scaled(width: float) -> int:
            return max(1, round(width * channels / stock))

        first, begin, end = paper
        point, cube = (1,) * spatial_dims, (3,) * spatial_dims
        chains: list[tuple[Sequence[float], list[tuple[int, ...]]]]
        if kind == "A":
            chains = [([first], [point]), ([begin, end], [point, cube]), ([32, 48, 64], [point, cube, cube])]
        else:
            widths = [begin + (end - begin) * i / spatial_dims for i in range(spatial_dims + 1)]
            chains = [([first], [point]), (widths, [point, *bands(BANDS[kind], spatial_dims)])]
        made = [([channels, *map(scaled, widths)], kernels) for widths, kernels in chains]
        self.branches = nn.ModuleList(_chain(widths, kernels) for widths, kernels in made)
        self.project = CONVOLUTIONS[spatial_dims](sum(widths[-1] for widths, _ in made), channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.scale * self.project(torch.cat([branch(x) for branch in self.branches], 1))


def _chain(widths: list[int], kernels: list[tuple[int, ...]]) -> nn.Sequential:
    """Convolutions that keep the size, each with a batch norm and a ReLU behind."""
    layers: list[nn.Module] = []
    for (before, after), kernel in zip(pairwise(widths), kernels, strict=True):
        padding = tuple(taps // 2 for taps in kernel)
        conv = CONVOLUTIONS[len(kernel)](before, after, kernel, 1, padding, bias=False)  # type: ignore[arg-type]
        layers += [conv, BATCH_NORMS[len(kernel)](after, 1e-3), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)

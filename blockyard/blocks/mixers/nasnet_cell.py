"""Cells that a search found: a table of sums of two operations each, and the module of any such table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.blocks.base import Block, Slot
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS

Operation = Literal["identity", "average", "maximum", "separable 3", "separable 5", "separable 7"]
"""Poolings are over 3 positions along each axis, separable convolutions have so many taps, and run twice."""
Read = tuple[int, Operation]
"""An operation and the state that it reads: 0 is what the cell before gave, 1 that before it, 2 the first sum."""


@dataclass(frozen=True)
class Table:
    """What a cell computes.

    Attributes:
        sums: Pairs of what is added up; each sum is a state for those after it.
        gives: States whose channels, one behind the other, are what the cell gives.
    """

    sums: tuple[tuple[Read, Read], ...]
    gives: tuple[int, ...]


NORMAL = Table(
    (
        ((0, "separable 5"), (1, "separable 3")),
        ((1, "separable 5"), (1, "separable 3")),
        ((0, "average"), (1, "identity")),
        ((1, "average"), (1, "average")),
        ((0, "separable 3"), (0, "identity")),
    ),
    gives=(1, 2, 3, 4, 5, 6),
)
"""The cell of NASNet-A that keeps the resolution."""
REDUCTION = Table(
    (
        ((0, "separable 5"), (1, "separable 7")),
        ((0, "maximum"), (1, "separable 7")),
        ((0, "average"), (1, "separable 5")),
        ((3, "identity"), (2, "average")),
        ((2, "separable 3"), (0, "maximum")),
    ),
    gives=(3, 4, 5, 6),
)
"""That which halves it."""
_POOLS: dict[str, dict[int, Callable[..., Tensor]]] = {
    "average": {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d},
    "maximum": {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d},
}


class NASNetCell(Block):
    """The normal cell of NASNet-A on one map: Y = [s₁, s₂, …, s₆], states of C / 6 channels each.

    s₀ and s₁ are BN(W relu(x)) with W of their own, where NASNet has the maps of the last two cells. s₂ is
    K₅(s₀) + K₃(s₁), s₃ is K₅(s₁) + K₃(s₁), s₄ is P(s₀) + s₁, s₅ is P(s₁) + P(s₁) and s₆ is K₃(s₀) + s₀. Each K is
    twice a ReLU, a separable convolution of 3 or 5 taps and a batch norm, P the mean over 3 positions along each axis.

    Where 6 does not divide C, the states have more channels, and a linear map leads back to C.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = "Zoph et al., Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018"

    def __init__(self, channels: int, spatial_dims: int = 2) -> None:
        super().__init__(channels, spatial_dims)
        filters = -(-channels // len(NORMAL.gives))
        inputs = [projection(channels, filters, spatial_dims) for _ in range(2)]
        self.cell = Cell(NORMAL, inputs, (filters, filters), filters, spatial_dims)
        given = self.cell.channels
        self.project = nn.Identity() if given == channels else CONVOLUTIONS[spatial_dims](given, channels, 1)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        return self.project(self.cell(x, x))


class Cell(nn.Module):
    """A cell of a table, from the maps that the last two cells gave, ``(B, C, *S)``, to one of n states.

    Args:
        table: What it computes.
        inputs: What makes the first two states of the two maps.
        widths: Channels of these.
        filters: Channels F of all other states.
        spatial_dims: Rank of S.
        stride: Of what reads one of the first two.
        drop: Makes what may leave out an operation in training, other than the identity.
        eps: What norms add to a variance.
    """

    def __init__(
        self,
        table: Table,
        inputs: Sequence[nn.Module],
        widths: tuple[int, int],
        filters: int,
        spatial_dims: int,
        *,
        stride: int = 1,
        drop: Callable[[], nn.Module] = nn.Identity,
        eps: float = 1e-3,
    ) -> None:
        super().__init__()
        self.table, self.channels = table, len(table.gives) * filters
        self.inputs, self.operations = nn.ModuleList(inputs), nn.ModuleList()
        for reads in table.sums:
            for state, name in reads:
                first = state < 2
                width, step = (widths[state], stride) if first else (filters, 1)
                made = operation(name, width, filters, spatial_dims, step, eps)
                self.operations.append(made if name == "identity" else nn.Sequential(made, drop()))
        odd = [state for state in table.gives if state < 2 and widths[state] != filters]
        self.fit = nn.ModuleDict({str(s): projection(widths[s], filters, spatial_dims, eps, act=False) for s in odd})

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Map what the last two cells gave, ``(B, C, *S)`` each, to ``(B, n F, *⌈S / stride⌉)``."""
        states, operations = [self.inputs[0](x), self.inputs[1](before)], iter(self.operations)
        for reads in self.table.sums:
            one, other = (next(operations)(states[state]) for state, _ in reads)
            states.append(one + other)
        given = [self.fit[str(s)](states[s]) if str(s) in self.fit else states[s] for s in self.table.gives]
        return torch.cat(given, 1)


def projection(
    in_channels: int, channels: int, spatial_dims: int, eps: float = 1e-3, stride: int = 1, *, act: bool = True
) -> nn.Sequential:
    """BN(W relu(x)), position by position, of each or of every second one."""
    conv = CONVOLUTIONS[spatial_dims](in_channels, channels, 1, stride, bias=False)
    return nn.Sequential(nn.ReLU() if act else nn.Identity(), conv, BATCH_NORMS[spatial_dims](channels, eps))


def operation(name: Operation, in_channels: int, channels: int, rank: int, stride: int, eps: float) -> nn.Module:
    """An operation of a cell, from ``(B, in_channels, *S)`` to ``(B, channels, *⌈S / stride⌉)``.

    Raises:
        ValueError: If there is no such operation.
    """
    kind, _, taps = name.partition(" ")
    if kind == "separable":
        steps = [(in_channels, stride), (channels, 1)]
        return nn.Sequential(*(Separable(width, channels, rank, int(taps), step, eps) for width, step in steps))
    if kind in _POOLS:
        behind = [] if in_channels == channels else [*projection(in_channels, channels, rank, eps, act=False)]
        return nn.Sequential(Pool(name, stride), *behind)
    if kind != "identity":
        raise ValueError(f"a cell has no operation {name!r}")
    same = in_channels == channels and stride == 1
    return nn.Identity() if same else projection(in_channels, channels, rank, eps, stride)


class Separable(nn.Module):
    """BN(W (K ∗ relu(x))), K depthwise, ``(B, C_in, *S)`` to ``(B, C, *⌈S / stride⌉)``."""

    def __init__(self, in_channels: int, channels: int, rank: int, taps: int, stride: int, eps: float) -> None:
        super().__init__()
        conv, self.taps, self.stride = CONVOLUTIONS[rank], taps, stride
        padding = taps // 2 if stride == 1 else 0
        self.depthwise = conv(in_channels, in_channels, taps, stride, padding, groups=in_channels, bias=False)
        self.pointwise = conv(in_channels, channels, 1, bias=False)
        self.norm = BATCH_NORMS[rank](channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S)`` to ``(B, C, *⌈S / stride⌉)``."""
        x = x.relu() if self.stride == 1 else padded(x.relu(), self.taps, self.stride)
        return self.norm(self.pointwise(self.depthwise(x)))


class Pool(nn.Module):
    """The mean or the maximum over those of 3 positions along each axis that lie in the map ``(B, C, *S)``."""

    def __init__(self, kind: str, stride: int) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to ``(B, C, *⌈S / stride⌉)``."""
        pool = _POOLS[self.kind][x.dim() - 2]
        # torch 2.13 pools volumes on a CPU in float32 and float64 only
        wide = x.float() if x.dim() == 5 and x.itemsize == 2 and x.device.type == "cpu" else x
        if self.kind == "maximum":
            return pool(padded(wide, 3, self.stride, -torch.inf), 3, self.stride).to(x.dtype)
        shares = pool(padded(torch.ones_like(wide[:1, :1]), 3, self.stride), 3, self.stride)
        return (pool(padded(wide, 3, self.stride), 3, self.stride) / shares).to(x.dtype)


class Halving(nn.Module):
    """BN([W relu(x)₀, W' relu(x)₁]) of every second position, from the first and from the second on.

    It maps ``(B, C_in, *S)`` to ``(B, C, *⌈S / 2⌉)``; behind the end of an odd axis are zeros.
    """

    def __init__(self, in_channels: int, channels: int, rank: int, eps: float) -> None:
        super().__init__()
        widths = channels - channels // 2, channels // 2
        self.paths = nn.ModuleList(CONVOLUTIONS[rank](in_channels, width, 1, bias=False) for width in widths)
        self.norm = BATCH_NORMS[rank](channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C_in, *S)`` to ``(B, C, *⌈S / 2⌉)``."""
        x, rank = x.relu(), x.dim() - 2
        second = F.pad(x, (0, 1) * rank)
        even: tuple[Any, ...] = (..., *(slice(None, None, 2),) * rank)
        odd: tuple[Any, ...] = (..., *(slice(1, None, 2),) * rank)
        halves = x[even], second[odd]
        return self.norm(torch.cat([path(half) for path, half in zip(self.paths, halves, strict=True)], 1))


def padded(x: Tensor, taps: int, stride: int, value: float = 0.0) -> Tensor:
    """A map ``(B, C, *S)`` continued so that a kernel gives ⌈S / stride⌉ at stride 1 or 2, as TensorFlow does it.

    At stride 2 kernels lie around the first, third… position of an axis of an odd number of them, and the second,
    fourth… of an even one.
    """
    half = taps // 2
    sides = [side for n in reversed(x.shape[2:]) for side in (half - (stride - 1) * ((n + 1) % 2), half)]
    return F.pad(x, sides, value=value)

"""NASNet: two cells that a search found on small pictures, stacked.

Zoph, Vasudevan, Shlens, Le: Learning Transferable Architectures for Scalable Image Recognition, CVPR 2018.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.parts import drop_path
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.mixers.nasnet_cell import NORMAL, REDUCTION, Cell, Halving, Table, projection
from blockyard.poolings import Pooling


class Cells(nn.Sequential):
    """Cells of one resolution, each of which reads the maps ``(B, C, *S)`` that the two before it gave.

    Args:
        cells: The cells; may be none.
        skips: Whether the first one reads what lies two before the last.
    """

    def __init__(self, *cells: nn.Module, skips: bool) -> None:
        super().__init__(*cells)
        self.skips = skips

    def forward(self, past: list[Tensor]) -> Tensor:
        """Map the last three maps ``(B, C, *S)`` or more to another; ``past`` is continued by what the cells give."""
        for number, cell in enumerate(self):
            before = past[-3] if self.skips and number == 0 else past[-2]
            past.append(cell(past[-1], before))
        return past[-1]


class NASNet(Backbone):
    """Normal cells, and before each stage a cell that halves the resolution; each reads the two maps before it.

    Paths in cells drop in training the more often the deeper they lie; with ``--trainer.callbacks+=ScheduledDropPath``
    also the more often the longer training lasts, as the paper has it (ScheduledDropPath).

    The first two stages of large pictures are at a quarter and an eighth of the resolution, the first of them without
    normal cells. Small pictures (``stem: cifar``) begin at their own.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depth: N, the normal cells of each stage.
        filters: F, the channels of each state of a normal cell in the first stage that has some; even.
        stem: What stands before: a convolution and two halving cells, or for small pictures a convolution alone.
        stem_channels: Channels of the convolution.
        skips: Whether the first normal cell behind one that halves reads past the last two maps, as in NASNet-A large.
        normal: What normal cells compute; None is NASNet-A's.
        reduction: What halving cells compute; None is NASNet-A's.
        norm_eps: What norms add to a variance.
        drop_path_rate: Probability of dropping an operation of the last cell; it rises from the first cell on.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        pooling: In place of the mean over positions; called with the channels of the last map.
        dropout: Probability of dropout before the classifier.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or those of timm's ``nasnetalarge``.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a number is not positive, the filters are no multiple of 4 or, for small pictures, of 2, or the
            weights are not the network's.
    """

    first_convolutions = ("stem.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depth: int = 6,
        filters: int = 168,
        stem: Literal["imagenet", "cifar"] = "imagenet",
        stem_channels: int = 96,
        skips: bool = True,
        normal: Table | None = None,
        reduction: Table | None = None,
        norm_eps: float = 1e-3,
        spatial_dims: int = 2,
        pooling: Callable[[int], Pooling] | None = None,
        drop_path_rate: float = 0.0,
        dropout: float | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        first = 2 if stem == "imagenet" else 1
        _check(depth, filters, 2 * first, stem_channels, spatial_dims)
        self.rank = rank = spatial_dims
        conv = CONVOLUTIONS[rank](in_channels, stem_channels, 3, first, 2 - first, bias=False)
        self.stem = nn.Sequential(conv, BATCH_NORMS[rank](stem_channels, norm_eps))
        # of each stage: normal cells, their filters, and those of the cell that halves before them
        plan = [(depth, filters, 0), *((depth, 2**i * filters, 2**i * filters) for i in (1, 2))]
        if first == 2:
            plan[:1] = [(0, filters // 4, filters // 4), (depth, filters, filters // 2)]
        total = sum(cells + (halving > 0) for cells, _, halving in plan)
        add = _Adding(rank, norm_eps, lambda number: drop_path_rate * number / total, [(stem_channels, first)] * 2)
        stages = list[Stage]()
        for number, (cells, width, halving) in enumerate(plan, 1):
            if halving:
                self.add_module(f"downsample{number}", add(reduction or REDUCTION, halving, 2, -2))
            jumps = skips and number > first
            units = [add(normal or NORMAL, width, 1, -3 if jumps and i == 0 else -2) for i in range(cells)]
            self.add_module(f"layer{number}", Cells(*units, skips=jumps))
            stages.append(Stage(f"layer{number}", *add.past[-1]))
        self.stages = tuple(stages)
        self.make_head(add.past[-1][0], pooling, dropout)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        x = self.stem(x)
        past, maps = [x, x], []
        for number, stage in enumerate(self.stages, 1):
            if hasattr(self, f"downsample{number}"):
                past.append(self.get_submodule(f"downsample{number}")(past[-1], past[-2]))
            past[-1] = self.get_submodule(stage.path)(past)
            maps.append(past[-1])
            del past[:-3]
        return maps

    def last_map(self, x: Tensor) -> Tensor:
        """What the head sees of ``(B, in_channels, *S)``: the map of the last stage behind a ReLU."""
        return super().last_map(x).relu()

    def renamed(self, file: State) -> State:
        """The tensors of timm's file by the names that they have here."""
        return own_names(file, self.state_dict())


@dataclass
class _Adding:
    """Makes the next cell, which reads the last map and one before it; the very first one has but one.

    Attributes:
        rank: Rank of S.
        eps: What norms add to a variance.
        rate: Probability of dropping an operation of a cell, by its number from 1.
        past: Channels and stride of each map so far.
    """

    rank: int
    eps: float
    rate: Callable[[int], float]
    past: list[tuple[int, int]]

    def __call__(self, table: Table, width: int, stride: int, before: int) -> Cell:
        (here, scale), number, other = self.past[-1], len(self.past) - 1, self.past[before]
        bring = nn.Identity() if number == 1 else _brought(other, scale, width, self.rank, self.eps)
        made = Cell(
            table,
            [projection(here, width, self.rank, self.eps), bring],
            (width, here if number == 1 else width),
            width,
            self.rank,
            stride=stride,
            drop=partial(drop_path, self.rate(number)),
            eps=self.eps,
        )
        self.past.append((made.channels, scale * stride))
        return made


def _brought(other: tuple[int, int], scale: int, width: int, rank: int, eps: float) -> nn.Module:
    """What brings a map of so many channels at a stride to the width and the stride of a cell."""
    if other[1] != scale:
        return Halving(other[0], width, rank, eps)
    return nn.Identity() if other[0] == width else projection(other[0], width, rank, eps)


def _check(depth: int, filters: int, divisor: int, stem_channels: int, spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"NASNet: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if min(depth, filters, stem_channels) < 1 or filters % divisor:
        raise ValueError(
            f"NASNet: depth and stem_channels must be positive and filters a multiple of {divisor}, got {depth}, "
            f"{stem_channels} and {filters}"
        )

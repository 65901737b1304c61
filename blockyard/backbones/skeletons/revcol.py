"""RevCol: columns of levels, each of which reads the level below and that above of the column before.

Cai, Zhou, Han, Sun, Kong, Li, Zhang: Reversible Column Networks, ICLR 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.neck import Neck
from blockyard.backbones.skeletons.parts import LayerNorm, Style, each
from blockyard.backbones.skeletons.resolution import Resolution
from blockyard.backbones.skeletons.stages import Mixer, initialise, make_stage, sizes_of
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks import DepthwiseConvolution
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS
from blockyard.blocks.mixers.pointwise import Pointwise
from blockyard.blocks.reversible import Step, factor, recomputing, run
from blockyard.mistakes import nearest
from blockyard.poolings import Pooling

Keep = Literal["all", "columns", "last"]
_RESOLUTION = Resolution(stem_kernel=4, stem_stride=4, kernel=2, stride=2, norm_behind=True)


class Level(nn.Module):
    """units(D b + U a), and with it α · itself; b is the map below, a that above of the column before.

    D makes a map smaller, U larger: ``(B, C, *S)`` out of ``(B, C_below, *S_below)`` and ``(B, C_above, *S_above)``.

    Args:
        down: D.
        above: Channels of a; None is no a.
        units: What follows, of C channels.
        channels: C.
    """

    def __init__(self, down: nn.Module, above: int | None, units: nn.Sequential, channels: int) -> None:
        super().__init__()
        self.down = down
        self.up = None if above is None else nn.Sequential(Pointwise(above, channels), LayerNorm(channels, 1e-6))
        self.units = units
        self.alpha = nn.Parameter(torch.full((channels,), 0.5))

    def forward(self, below: Tensor, above: Tensor | None = None, *, old: Tensor | None = None) -> Tensor:
        """What the level adds to the map of the column before, or with ``old``, that map, what it becomes.

        Args:
            below: ``(B, C_below, *S_below)``.
            above: ``(B, C_above, *S_above)``.
            old: ``(B, C, *S)``.
        """
        x = self.down(below)
        if self.up is not None and above is not None:
            x = x + F.interpolate(self.up(above), x.shape[2:])
        x = self.units(x)
        return x if old is None else x.to(old.dtype) + factor(self.alpha, old) * old


class Column(nn.ModuleList):
    """Levels, from the largest map to the smallest.

    Args:
        levels: The levels, each of which reads the one above of the column before, but the last.
        alone: Whether there is no column before.
    """

    def __init__(self, levels: Sequence[Level], alone: bool) -> None:
        super().__init__(levels)
        self.alone = alone

    def sources(self, number: int) -> tuple[int, ...]:
        """Which maps a level reads: the network's first is map 0, what level i, counted from 0, gives is map i + 1."""
        return (number,) if self.alone or number + 1 == len(self) else (number, number + 2)

    def steps(self) -> list[Step]:
        """The levels as what can be undone; none if more than that was plugged in behind one."""
        levels = [level for level in self if isinstance(level, Level)]
        found = [Step(i + 1, self.sources(i), level, level.alpha) for i, level in enumerate(levels)]
        return found if len(found) == len(self) else []

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """All maps after the column, ``(B, C_i, *S_i)`` each as before."""
        now = list(maps)
        for number, level in enumerate(self):
            now[number + 1] = level(*(now[i] for i in self.sources(number)), old=now[number + 1])
        return now


class RevCol(Backbone):
    """Columns side by side, each a pyramid that reads the input and the maps of the column before.

    Level l of column t is c_l ← α_l c_l + F_l(c_{l-1}, c_{l+1}), where c_{l-1} is that of the same column and c_{l+1}
    that of the column before. So a column can be undone from the smallest map on, and training need not keep what is
    inside: it keeps all of the last column alone, of those before what ``keep`` says.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        columns: Number of columns.
        depths: Units of each level of a column.
        widths: Channels of each level.
        mixers: What mixes positions; a list is of one for each level.
        channel_mixers: What mixes channels; None is an MLP.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        drop_path_rate: Probability of dropping the last branch in training; it rises from 0 unit by unit of a column.
        input_size: Positions of the input along each axis, for mixers made for one size; None takes their defaults.
        dropout: Probability of dropout before the classifier.
        pooling: In place of the mean over positions; called with the channels of the last map.
        keep: ``columns``, what each column gives, as the published code; ``last``, what the last but one gives, so
            that memory does not grow with the columns, while each divides rounding errors by α, at first a half: for
            few columns, or double precision. ``all`` is no recomputation.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or the published ones, whose heads of other columns are left away.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If depths and widths do not fit each other, a number is not positive, ``keep`` is none of these, or
            the weights are not the network's.
    """

    first_convolutions = ("stem.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        columns: int = 4,
        depths: Sequence[int] = (2, 2, 4, 2),
        widths: Sequence[int] = (64, 128, 256, 512),
        mixers: list[Mixer] | Mixer = DepthwiseConvolution,
        channel_mixers: list[Mixer] | Mixer | None = None,
        spatial_dims: int = 2,
        drop_path_rate: float = 0.0,
        input_size: int | list[int] | None = None,
        dropout: float | None = None,
        pooling: Callable[[int], Pooling] | None = None,
        keep: Keep = "columns",
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(columns, depths, widths, spatial_dims, keep)
        self.rank, self.keep = spatial_dims, keep
        style = Style(branches=1, layer_scale=1e-6, drop_path_rate=drop_path_rate)
        count, rates = len(depths), style.rates(sum(depths))
        size = None if input_size is None else sizes_of(input_size, spatial_dims, "RevCol")
        sizes = [None] * count if size is None else _RESOLUTION.sizes(size, count)
        mixing = [*zip(each("mixers", mixers, count), each("channel_mixers", channel_mixers, count), strict=True)]

        def level(number: int, alone: bool) -> Level:
            width = widths[number]
            down = _RESOLUTION.before(widths[number - 1], width, spatial_dims, first=False) if number else nn.Identity()
            drop = iter(rates[sum(depths[:number]) :])
            units = make_stage(depths[number], width, spatial_dims, mixing[number], style, drop, sizes[number])
            above = None if alone or number + 1 == count else widths[number + 1]
            return Level(down, above, units, width)

        self.stem = _RESOLUTION.before(in_channels, widths[0], spatial_dims, first=True)
        made = (Column([level(i, not column) for i in range(count)], not column) for column in range(columns))
        self.columns = nn.ModuleList(made)
        self.stages = tuple(Stage(f"columns.{columns - 1}.{i}", widths[i], 4 * 2**i) for i in range(count))
        self.make_head(widths[-1], pooling, dropout, lambda channels: Neck(channels, norm=True))
        initialise(self)
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the last column, ``(B, stage.channels, *S / stage.stride)`` each."""
        return self.after(x, [len(self.columns)])[0][1:]

    def after(self, x: Tensor, counts: Sequence[int]) -> list[list[Tensor]]:
        """The stem's map and those of all levels after so many columns, for each of rising counts, by one pass.

        Of all but the last column training keeps what ``keep`` says.
        """
        found: list[list[Tensor]] = []  # which torch.compile can read, as it can't list[…]()
        maps, done = self.first_maps(x), 0
        for count in counts:
            maps = self.run(maps, range(done, min(count, len(self.columns) - 1)))
            maps, done = self.columns[-1](maps) if count == len(self.columns) else maps, count
            found.append(maps)
        return found

    def first_maps(self, x: Tensor) -> list[Tensor]:
        """What the first column sees of ``(B, in_channels, *S)``: the stem's map, and zeros for each of its levels."""
        x = self.stem(x)
        sizes = [[n // 2**number for n in x.shape[2:]] for number in range(len(self.stages))]
        return [x, *(x.new_zeros(len(x), s.channels, *size) for s, size in zip(self.stages, sizes, strict=True))]

    def run(self, maps: list[Tensor], numbers: Sequence[int]) -> list[Tensor]:
        """All maps ``(B, C_i, *S_i)`` after some columns, which are computed again in training unless all is kept."""
        again = self.keep != "all" and self.training and recomputing()
        waiting: list[Step] = []
        for number in numbers:
            column = cast(Column, self.columns[number])
            steps = column.steps() if again else []
            if waiting and not (steps and self.keep == "last"):
                maps, waiting = run(waiting, maps), []
            waiting += steps
            maps = maps if steps else column(maps)
        return run(waiting, maps)

    def renamed(self, file: State) -> State:
        """The tensors of a published file by the names that they have here, without the heads of other columns."""
        found = own_names(file, self.state_dict())
        return State({key: value for key, value in found.items() if not key.startswith(("decoder_blocks.", "cls_"))})


def _check(columns: int, depths: Sequence[int], widths: Sequence[int], spatial_dims: int, keep: str) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"RevCol: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if len(depths) != len(widths) or not depths:
        raise ValueError(f"RevCol: depths and widths have one number a level, got {list(depths)} and {list(widths)}")
    if min(columns, *depths, *widths) < 1:
        raise ValueError(f"RevCol: columns, depths and widths must be at least 1, got {columns}, {depths}, {widths}")
    if keep not in get_args(Keep):
        raise ValueError(f"RevCol: no keep {keep}; {nearest(keep, get_args(Keep))}")

"""SReT: units that run twice with the same weights, with attention in slices, other ones the second time.

Shen, Liu, Xing: Sliced Recursive Transformer, ECCV 2022.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.layouts import State
from blockyard.backbones.skeletons.neck import Neck
from blockyard.backbones.skeletons.parts import Style, each
from blockyard.backbones.skeletons.patches import Positions
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.backbones.skeletons.stages import Mixer, make_stage, sizes_of
from blockyard.backbones.skeletons.stock_names import own_names
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.blocks.mixers.sliced_attention import SlicedAttention
from blockyard.blocks.stages.recursion import Projection
from blockyard.poolings import Pooling


class Recursive(nn.Module):
    """Y = P₂ U(P₁ U(x)), ``(B, C, *S)`` to the same shape: one unit, and projections with weights of their own.

    Args:
        unit: U.
        channels: C.
        times: How often it runs.
        ratio: Hidden channels / C of the projections.
        slices: Of positions that attention is within from the second time on, shuffled; of one there is nothing to.
    """

    def __init__(self, unit: nn.Module, channels: int, times: int, ratio: float, slices: int) -> None:
        super().__init__()
        self.unit, self.slices = unit, slices
        self.projections = nn.ModuleList(Projection(channels, ratio) for _ in range(times))

    def forward(self, x: Tensor) -> Tensor:
        """Map a map to one of the same shape."""
        mixer, again = self.unit.get_submodule("mixer"), None
        for project in self.projections:
            x = project(self.unit(x, again))
            if isinstance(mixer, SlicedAttention):
                again = partial(mixer.within, slices=self.slices, shuffled=True)
        return x


class SReT(Pyramid):
    """A pyramid of units that run twice, with a projection behind each run.

    A list is of one value for each stage.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        depths: Units of each stage; so many times as many layers run.
        widths: Channels of each stage, each a multiple of the one before; the first one even.
        times: How often a unit runs.
        mixers: What mixes positions.
        slices_again: Slices that sliced attention is within from the second time on, of positions that are shuffled.
        mlp_ratio: Hidden channels / C of the units' MLPs.
        projection_ratio: The same of the projections.
        drop_path_rate: Probability of dropping the last branch in training; it rises from 0 unit by unit.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        input_size: Positions of the input along each axis that the positions are learned for.
        pooling: In place of the mean over positions; called with the channels of the last map.
        dropout: Probability of dropout before the classifier.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or the published ones.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a list is not of one value a stage, a number is not positive, a width does not fit, or the
            weights are not the network's.
    """

    first_convolutions = ("stem.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        depths: Sequence[int] = (2, 5, 3),
        widths: Sequence[int] = (64, 128, 256),
        times: int = 2,
        mixers: list[Mixer] | Mixer = SlicedAttention,
        slices_again: Sequence[int] = (2, 1, 1),
        mlp_ratio: float = 3.6,
        projection_ratio: float = 1.0,
        drop_path_rate: float = 0.0,
        pooling: Callable[[int], Pooling] | None = None,
        dropout: float | None = None,
        input_size: int | list[int] = 224,
        spatial_dims: int = 2,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(times, spatial_dims, depths=depths, widths=widths, slices_again=slices_again)
        self.rank = rank = spatial_dims
        size = [math.ceil(n / 8) for n in sizes_of(input_size, rank, "SReT")]
        self.stem = nn.Sequential(*_convolutions(in_channels, widths[0], rank), Positions(widths[0], size))
        style = Style(
            mlp_ratio=mlp_ratio, layer_scale=1.0, residual_scale=1.0, shared_scale=True, drop_path_rate=drop_path_rate
        )
        made = each("mixers", mixers, len(depths))
        rates = iter(style.rates(sum(depths)))
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i:
                fewer = CONVOLUTIONS[rank](widths[i - 1], width, 3, 2, 1, groups=widths[i - 1])
                self.add_module(f"downsample{i + 1}", fewer)
            units = make_stage(depth, width, rank, (made[i], None), style, rates, tuple(size))
            size = [math.ceil(n / 2) for n in size]
            stage = (Recursive(unit, width, times, projection_ratio, slices_again[i]) for unit in units)
            self.add_module(f"layer{i + 1}", nn.Sequential(*stage))
        self.stages = tuple(Stage(f"layer{i + 1}", width, 8 * 2**i) for i, width in enumerate(widths))
        self.make_head(widths[-1], pooling, dropout, lambda channels: Neck(channels, norm=True))
        self.load_weights(weights, strict)

    def renamed(self, file: State) -> State:
        """The tensors of a published file by the names that they have here."""
        if (table := file.get("pos_embed")) is not None and table.dim() == 2 + (self.rank or 0):
            file = {**file, "pos_embed": table.flatten(2).transpose(1, 2)}
        return own_names(file, self.state_dict())


def _convolutions(in_channels: int, width: int, rank: int) -> list[nn.Module]:
    """Three with a batch norm and a ReLU behind each, which leave every eighth position."""
    layers: list[nn.Module] = []
    for before, after in pairwise((in_channels, width // 2, width, width)):
        layers += [CONVOLUTIONS[rank](before, after, 3, 2, 1), BATCH_NORMS[rank](after), nn.ReLU(inplace=True)]
    return layers


def _check(times: int, rank: int, **lists: Sequence[int]) -> None:
    if rank not in CONVOLUTIONS:
        raise ValueError(f"SReT: spatial_dims must be one of 1, 2, 3, got {rank}")
    if times < 1:
        raise ValueError(f"SReT: times must be at least 1, got {times}")
    for name, values in lists.items():
        if len(values) != len(lists["depths"]) or min(values, default=0) < 1:
            raise ValueError(f"SReT: {name} are one positive number a stage, got {list(values)}")
    if lists["widths"][0] % 2 or any(after % before for before, after in pairwise(lists["widths"])):
        raise ValueError(f"SReT: widths are even multiples, each of the one before, got {list(lists['widths'])}")

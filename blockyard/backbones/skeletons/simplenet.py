"""SimpleNet: thirteen plain convolutions.

Hasanpour, Rouhani, Fayyaz, Sabokrou: Lets keep it simple, Using simple architectures to outperform deeper and more
complex architectures, arXiv 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones.base import Stage
from blockyard.backbones.skeletons.pyramid import Pyramid
from blockyard.blocks.convolutions.convolution import BATCH_NORMS, CONVOLUTIONS
from blockyard.poolings import Pooling

POOLS: dict[int, type[nn.MaxPool1d] | type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {
    1: nn.MaxPool1d,
    2: nn.MaxPool2d,
    3: nn.MaxPool3d,
}


class SimpleNet(Pyramid):
    """Convolutions in a row, each with a batch norm and a ReLU behind; the maxima of the last map are classified.

    A stage is the convolutions of one resolution. The first stages halve it by a stride, the others by max pooling,
    where an odd number of positions is rounded up.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        widths: Channels of the convolutions of each stage.
        strided: How many stages begin with a convolution of stride 2; those after them, but for the first of all, with
            a pooling.
        pointwise: Which convolutions have one tap along each axis and not three, counted from 1 over all stages.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        pooling: In place of the maximum over positions; called with the channels of the last map.
        dropout: Probability of dropout before the classifier.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, a state dict of
            it, or a published one.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If a stage has no convolution, one has no channel, more stages are strided than there are, or the
            weights are not the network's.
    """

    first_convolutions = ("layer1.0.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        widths: Sequence[Sequence[int]] = ((64,), (128, 128), (128, 128, 128), (256, 256, 256, 512), (2048, 256, 256)),
        strided: int = 3,
        pointwise: Sequence[int] = (11, 12),
        spatial_dims: int = 2,
        pooling: Callable[[int], Pooling] | None = None,
        dropout: float | None = None,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        _check(widths, strided, spatial_dims)
        self.rank, numbers, before = spatial_dims, count(1), in_channels
        for i, channels in enumerate(widths):
            pools = i > 0 and i >= strided
            smaller = POOLS[spatial_dims](2, ceil_mode=True) if pools else nn.Identity()
            self.add_module(f"downsample{i + 1}" if i else "stem", smaller)
            units = []
            for j, width in enumerate(channels):
                taps, stride = 1 if next(numbers) in pointwise else 3, 2 if i < strided and j == 0 else 1
                units.append(_unit(before, width, spatial_dims, taps, stride))
                before = width
            self.add_module(f"layer{i + 1}", nn.Sequential(*units))
        strides = [2 ** (i + (strided > 0)) for i in range(len(widths))]
        self.stages = tuple(Stage(f"layer{i + 1}", widths[i][-1], stride) for i, stride in enumerate(strides))
        self.make_head(before, pooling, dropout)
        self.load_weights(weights, strict)

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what :meth:`last_map` gave."""
        return super().classify(last if self.pooling is not None else last.flatten(2).amax(2, keepdim=True))


def _unit(in_channels: int, channels: int, rank: int, taps: int, stride: int) -> nn.Sequential:
    conv = CONVOLUTIONS[rank](in_channels, channels, taps, stride, taps // 2)
    nn.init.xavier_uniform_(conv.weight, nn.init.calculate_gain("relu"))
    return nn.Sequential(conv, BATCH_NORMS[rank](channels, momentum=0.05), nn.ReLU(inplace=True))


def _check(widths: Sequence[Sequence[int]], strided: int, spatial_dims: int) -> None:
    if spatial_dims not in CONVOLUTIONS:
        raise ValueError(f"SimpleNet: spatial_dims must be one of 1, 2, 3, got {spatial_dims}")
    if not widths or any(not channels or min(channels) < 1 for channels in widths):
        raise ValueError(f"SimpleNet: widths has the channels of one convolution or more a stage, got {list(widths)}")
    if not 0 <= strided <= len(widths):
        raise ValueError(f"SimpleNet: strided must be 0 to {len(widths)}, the number of stages, got {strided}")

"""FunnelNet: a few hundred weights that make scalograms of heart sounds narrow, and then a little wider.

FunnelNet: An End-to-End Deep Learning Framework to Monitor Digital Heart Murmur in Real-Time, arXiv 2024. Layers and
sizes are those of the authors' published code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.skeletons.simplenet import POOLS
from blockyard.backbones.skeletons.stages import sizes_of
from blockyard.backbones.skeletons.two_view_net import Hidden
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS

PADS: dict[int, type[nn.ZeroPad1d] | type[nn.ZeroPad2d] | type[nn.ZeroPad3d]] = {
    1: nn.ZeroPad1d,
    2: nn.ZeroPad2d,
    3: nn.ZeroPad3d,
}
SMALLEST = 31
"""Positions along an axis of which one is left without padding."""


class FunnelNet(Backbone):
    """Convolutions of two taps along each axis and maxima over two positions: squeezed, separated, expanded.

    The squeeze net has a convolution to ``width`` channels, a tanh, and one to ``narrow``; the bottleneck a convolution
    of each channel by itself, a tanh, and one of all; the expansion net one to ``width`` channels again and a tanh. A
    maximum stands behind each. What is left is classified by a hidden layer of ``hidden`` channels: all of it where
    ``input_size`` says how much that is, as published, or else its mean over positions.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        width: Channels of the first convolution and of the last.
        narrow: Channels between.
        hidden: Channels of the layer before the classifier.
        padding: ``valid`` pads in the expansion net alone, as published, and takes 31 positions along each axis or
            more; ``same`` pads everywhere, and takes any number.
        input_size: Positions along each axis, or one number for all; None takes inputs of any size.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        dropout: Probability of dropout before the hidden layer.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no such rank or padding, a number of channels is not positive, or the weights are not
            the network's; of inputs that are too small, or of another size than ``input_size``.
    """

    first_convolutions = ("layer1.1",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        width: int = 12,
        narrow: int = 8,
        hidden: int = 8,
        padding: Literal["valid", "same"] = "valid",
        input_size: int | Sequence[int] | None = None,
        spatial_dims: int = 2,
        dropout: float = 0.5,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if spatial_dims not in CONVOLUTIONS:
            raise ValueError(f"FunnelNet: spatial_dims must be 1, 2 or 3, got {spatial_dims}")
        if padding not in ("valid", "same"):
            raise ValueError(f"FunnelNet: padding must be valid or same, got {padding!r}")
        if min(width, narrow, hidden) < 1:
            raise ValueError(f"FunnelNet: width={width}, narrow={narrow} and hidden={hidden} must be positive")
        self.rank, self.padding = spatial_dims, padding
        conv, pool = partial(CONVOLUTIONS[spatial_dims], kernel_size=2), partial(POOLS[spatial_dims], 2)
        pad = partial(PADS[spatial_dims], (0, 1) * spatial_dims)  # type: ignore[arg-type]  # as TensorFlow pads
        same, around = padding == "same", pad if padding == "same" else nn.Identity
        squeeze = around(), conv(in_channels, width), nn.Tanh(), pool(ceil_mode=same)
        apart = around(), conv(narrow, narrow, groups=narrow), nn.Tanh(), pool(ceil_mode=same)
        self.layer1 = nn.Sequential(*squeeze, around(), conv(width, narrow), pool(ceil_mode=same))
        self.layer2 = nn.Sequential(*apart, around(), conv(narrow, narrow), pool(ceil_mode=same))
        self.layer3 = nn.Sequential(pad(), conv(narrow, width), nn.Tanh(), pool(ceil_mode=True))
        self.stages = (Stage("layer1", narrow, 4), Stage("layer2", narrow, 16), Stage("layer3", width, 32))
        self.sizes = None if input_size is None else sizes_of(input_size, spatial_dims, "FunnelNet")
        left = 1 if self.sizes is None else math.prod(map(self._left, self.sizes))
        self.make_head(left * width, dropout=dropout, neck=lambda channels: Hidden(channels, hidden))
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps behind squeeze net, bottleneck and expansion net, ``(B, stage.channels, *S')``.

        Raises:
            ValueError: If the input ``(B, C, *S)`` is too small.
        """
        if self.padding == "valid" and min(x.shape[2:]) < SMALLEST:
            size = "×".join(map(str, x.shape[2:]))
            raise ValueError(
                f"FunnelNet takes {SMALLEST} positions or more along each axis, not {size}; padding=same takes fewer"
            )
        squeezed = self.layer1(x)
        separated = self.layer2(squeezed)
        return [squeezed, separated, self.layer3(separated)]

    def classify(self, last: Tensor) -> Tensor:
        """Logits ``(B, num_classes)`` of what :meth:`last_map` gave.

        Raises:
            ValueError: If that is of another size than was said.
        """
        if self.sizes is None:
            vector = last.flatten(2).mean(2)
        elif list(last.shape[2:]) == [self._left(size) for size in self.sizes]:
            vector = last.flatten(1)
        else:
            size = "×".join(map(str, self.sizes))
            raise ValueError(f"FunnelNet: inputs are not of input_size {size}; without it, it takes any")
        assert self.dropout is not None
        assert self.neck is not None
        assert self.fc is not None
        return self.fc(self.neck(self.dropout(vector)))

    def _left(self, size: int) -> int:
        """Positions of the last map along an axis."""
        for _ in range(4):
            size = (size - 1) // 2 if self.padding == "valid" else -(-size // 2)
        return -(-size // 2)

"""The network that PDC puts its second-order branches into: a ResNet with one convolution a unit.

Chrysos, Georgopoulos, Deng, Kossaifi, Panagakis, Anandkumar: Augmenting Deep Classifiers with Polynomial Neural
Networks, ECCV 2022.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.preresnet import CONV, NORM


class Unit(nn.Module):
    """A 3×3 convolution beside a shortcut, ``(B, C_in, *S)`` to ``(B, width, *S / stride)``."""

    def __init__(self, in_channels: int, width: int, stride: int = 1, spatial_dims: int = 2) -> None:
        super().__init__()
        conv, norm = CONV[spatial_dims], NORM[spatial_dims]
        self.conv1 = conv(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = norm(width)
        self.relu1 = nn.ReLU()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != width:
            self.shortcut = nn.Sequential(conv(in_channels, width, 1, stride, bias=False), norm(width))
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """ReLU of the two's sum."""
        return self.relu2(self.relu1(self.bn1(self.conv1(x))) + self.shortcut(x))


class PDCNet(Backbone):
    """The first-degree part of the compressed PDC; with branches behind its shortcuts it is PDC.

    ``PolynomialBranch(kernel_size=3, negative_slope=0.01)`` of 64, 64, 128 and 128 ``inner`` channels at
    ``layer1.*.shortcut``… ``layer4.*.shortcut`` makes the paper's network for CIFAR-10, 4,259,793 parameters. Without
    activations and with fixed norms it is a polynomial, whose degree every unit with a branch doubles.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        widths: Channels of each stage; the second and all later stages halve the resolution.
        units: Units of each stage.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video, where the stages stride time too.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it. One line says what is left out, such as a classifier of other classes, and what starts anew.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no such rank, a width or a number of units is not positive, there is not one of each
            for every stage, or the weights are not the network's.
    """

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 192, 256),
        units: Sequence[int] = (2, 2, 2, 1),
        spatial_dims: int = 2,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if spatial_dims not in CONV:
            raise ValueError(f"PDCNet: spatial_dims must be one of {', '.join(map(str, CONV))}, got {spatial_dims}")
        if not widths or len(widths) != len(units) or min(*widths, *units) < 1:
            raise ValueError(
                f"PDCNet: widths and units must be positive, one of each for every stage, got {list(widths)} and "
                f"{list(units)}"
            )
        self.rank = spatial_dims
        self.conv1 = CONV[spatial_dims](in_channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = NORM[spatial_dims](widths[0])
        self.relu1 = nn.ReLU()
        for k, (before, width, count) in enumerate(zip([widths[0], *widths], widths, units, strict=False)):
            first = Unit(before, width, 1 if k == 0 else 2, spatial_dims)
            others = [Unit(width, width, 1, spatial_dims) for _ in range(count - 1)]
            self.add_module(f"layer{k + 1}", nn.Sequential(first, *others))
        self.stages = tuple(Stage(f"layer{k + 1}", width, 2**k) for k, width in enumerate(widths))
        self.make_head(widths[-1])
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of the stages, ``(B, stage.channels, *S / stage.stride)`` each."""
        x = self.relu1(self.bn1(self.conv1(x)))
        maps = []
        for stage in self.stages:
            x = self.get_submodule(stage.path)(x)
            maps.append(x)
        return maps

"""Two small networks side by side, which learn from two views of a sample and then become one network.

Isong: Building Efficient Lightweight CNN Models, arXiv 2025. Layers and sizes are those of the author's published
notebook, whose network of 28×28 pixels has 14,862 parameters.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from blockyard.backbones.base import Backbone, Stage
from blockyard.backbones.skeletons.simplenet import POOLS
from blockyard.blocks.convolutions.convolution import CONVOLUTIONS

WINDOW = 5
"""Positions along each axis that an answer is made of: all of the last map of 28×28 pixels."""


class TwoViewNet(Backbone):
    """Two branches of two convolutions each, an answer of each, and a layer that makes one of both.

    A branch is twice a 3×3 convolution without padding, a ReLU and a maximum over 2×2; its answer a convolution of 5×5
    positions to a number for each class. Behind a ReLU, the mean of the answers over positions goes through a hidden
    layer to the classifier. The branches are groups of convolutions: maps hold the first one's channels, then the
    second one's. They see the same sample, but in training by :class:`~blockyard.objectives.TwoViews`, where each sees
    its own view and learns from its own answer.

    Args:
        num_classes: Number of classes K, or 0 for the trunk alone.
        in_channels: Channels of the input.
        width: Channels of each branch's first convolution; the second has twice as many.
        hidden: Channels of the layer before the classifier.
        dropout: Probability of dropout before the classifier.
        spatial_dims: Rank of S: 1 for sequences, 2 for images, 3 for video.
        weights: Weights from a file: a checkpoint of a training of any task with this network in it, or a state dict
            of it.
        strict: Whether what does not match in the file is a mistake; if not, it is printed and starts anew.

    Raises:
        ValueError: If there is no such rank, a number of channels is not positive, or the weights are not the
            network's; of an input of fewer than 26 positions along an axis, if it is to be classified.
    """

    head_parts = ("answers", *Backbone.head_parts)
    classifiers = ("fc", "neck.0", "answers")
    first_convolutions = ("layer1.0",)

    def __init__(
        self,
        num_classes: int = 0,
        in_channels: int = 3,
        width: int = 10,
        hidden: int = 32,
        dropout: float = 0.5,
        spatial_dims: int = 2,
        weights: str | Path | None = None,
        strict: bool = True,
    ) -> None:
        super().__init__(num_classes, in_channels)
        if spatial_dims not in CONVOLUTIONS:
            raise ValueError(f"TwoViewNet: spatial_dims must be 1, 2 or 3, got {spatial_dims}")
        if min(width, hidden) < 1:
            raise ValueError(f"TwoViewNet: width={width} and hidden={hidden} must be positive")
        self.rank, classes = spatial_dims, max(num_classes, 1)
        self.layer1 = _both(in_channels, width, spatial_dims)
        self.layer2 = _both(width, 2 * width, spatial_dims)
        self.stages = (Stage("layer1", 2 * width, 2), Stage("layer2", 4 * width, 4))
        self.answers = CONVOLUTIONS[spatial_dims](4 * width, 2 * classes, WINDOW, groups=2)
        self.make_head(2 * classes, dropout=dropout, neck=lambda channels: Hidden(channels, hidden))
        self.load_weights(weights, strict)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps of both branches, ``(B, stage.channels, *S')``, of a sample that both see."""
        return self._maps(torch.cat([x, x], 1))

    def last_map(self, x: Tensor) -> Tensor:
        """What both branches answer, ``(B, 2 K, *S')``, where it is positive."""
        return torch.cat(self.views(x, x), 1).relu()

    def views(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """The answer of each branch, ``(B, K, *S')``, to its own view ``(B, in_channels, *S)``.

        Raises:
            ValueError: If the views have too few positions for an answer.
        """
        last = self._maps(torch.cat([first, second], 1))[-1]
        if min(last.shape[2:]) < WINDOW:
            size = "×".join(map(str, first.shape[2:]))
            raise ValueError(f"TwoViewNet answers to samples of at least 26 positions along each axis, not to {size}")
        one, other = self.answers(last).chunk(2, 1)
        return one, other

    def _maps(self, both: Tensor) -> list[Tensor]:
        first = self.layer1(both)
        return [first, self.layer2(first)]


class Hidden(nn.Sequential):
    """The layer that sees both answers, ``(B, 2 K)`` to ``(B, out_features)``."""

    def __init__(self, channels: int, out_features: int) -> None:
        super().__init__(nn.Linear(channels, out_features), nn.ReLU())
        self.out_features = out_features


def _both(in_channels: int, width: int, rank: int) -> nn.Sequential:
    """A layer of both branches, with ``width`` channels each."""
    conv = CONVOLUTIONS[rank](2 * in_channels, 2 * width, 3, groups=2)
    return nn.Sequential(conv, nn.ReLU(), POOLS[rank](2))

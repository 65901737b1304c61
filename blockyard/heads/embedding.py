"""From the last map of a backbone to one vector a sample, to be compared by its direction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from blockyard.backbones import Backbone
from blockyard.backbones.inputs.temporal import Attention
from blockyard.backbones.unused import keep_only
from blockyard.poolings import Pooling

Temporal = Literal["mean", "attention", "rnn"]


class Recurrent(nn.Module):
    """An LSTM over the frames, whose outputs are averaged.

    McLaughlin et al., Recurrent Convolutional Network for Video-based Person Re-identification, CVPR 2016; the form of
    Gao, Nevatia, Revisiting Temporal Modeling for Video-based Person ReID, 2018.

    Args:
        features: Length D of a frame's features; that of the result too.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, features, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, D)``."""
        return self.lstm(x)[0].mean(1)


class Embedding(nn.Module):
    """A backbone, pooling over space and time, a normalising neck (BNNeck) and, for training, a classifier.

    The metric loss sees the vector before the neck, the classifier and a comparison the one behind it (Luo et al., Bag
    of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019). The neck has no shift and the
    classifier no bias, so that identities are told apart by directions from the origin.

    Args:
        backbone: Its head, if it has one, is taken away.
        num_classes: Training identities K.
        input_shape: ``(C, H, W)`` of pictures or ``(C, T, H, W)`` of clips.
        temporal: How the frames of a clip become one vector: their mean, a learned weighted mean, or an LSTM.
        pooling: In place of the mean over positions; called with the channels of the last map.

    Raises:
        ValueError: If the backbone has no stage, or ``temporal`` is given for pictures.
    """

    def __init__(
        self,
        backbone: Backbone,
        num_classes: int,
        input_shape: tuple[int, ...],
        temporal: Temporal = "mean",
        pooling: Callable[[int], Pooling] | None = None,
    ) -> None:
        super().__init__()
        if not backbone.stages:
            raise ValueError(f"{type(backbone).__name__} has no stages, so there is no map to make an embedding of")
        if temporal != "mean" and len(input_shape) == 3:
            raise ValueError(f"temporal={temporal} is for clips; the data are pictures {input_shape}")
        self.backbone = backbone.trunk()
        # what only other maps pass, as in networks of several branches, goes too
        keep_only(backbone, lambda: backbone.features(torch.zeros(1, *input_shape))[-1])
        self.stock_path = f"backbone.{backbone.stock_path}".rstrip(".")
        self.closed: dict[str, str] = getattr(backbone, "closed", {})
        channels = backbone.stages[-1].channels
        self.pooling = None if pooling is None else pooling(channels)
        self.features = channels if self.pooling is None else self.pooling.out_features
        self.over_time: nn.Module | None = None
        if temporal != "mean":
            self.over_time = Attention(self.features) if temporal == "attention" else Recurrent(self.features)
        self.neck = nn.BatchNorm1d(self.features)
        self.neck.bias.requires_grad_(False)
        self.classifier = nn.Linear(self.features, num_classes, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)

    def pool(self, x: Tensor) -> Tensor:
        """The vector before the neck, ``(B, D)``, of ``(B, C, H, W)`` or ``(B, C, T, H, W)``."""
        last = self.backbone.features(x)[-1]
        if self.over_time is None:
            return self._over_positions(last)
        frames = self._over_positions(last.transpose(1, 2).flatten(0, 1))
        return self.over_time(frames.unflatten(0, (len(last), last.shape[2])))  # -1 has no size in an empty batch

    def _over_positions(self, maps: Tensor) -> Tensor:
        return maps.flatten(2).mean(2) if self.pooling is None else self.pooling(maps)

    def forward(self, x: Tensor) -> Tensor:
        """The vector to compare, ``(B, D)``."""
        return self.neck(self.pool(x))

    def identify(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """For training: the vector before the neck ``(B, D)`` and the logits of the identities ``(B, K)``."""
        pooled = self.pool(x)
        return pooled, self.classifier(self.neck(pooled))

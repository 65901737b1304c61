"""A pooling and a classifier behind any network of timm, in place of the head that it came with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from blockyard.backbones.unused import keep_only
from blockyard.poolings import Pooling


class TimmHead(nn.Module):
    """Logits of what ``net.forward_features`` gives: a map, channels first or last, or tokens.

    The pooling sees a map, or the tokens of the picture as one of rank 1, ``(B, C, N)``. Where the network has a class
    token, that stands beside the pooled vector: the scores are the sum of both's, as in So-ViT.

    Args:
        net: Its own head is taken away, and whatever else stands between the last map and the logits.
        num_classes: Number of classes K.
        in_channels: Channels of the images.
        pooling: Called with the channels of the map.

    Raises:
        ValueError: If what the network gives is neither one map nor tokens.
    """

    def __init__(self, net: nn.Module, num_classes: int, in_channels: int, pooling: Callable[[int], Pooling]) -> None:
        super().__init__()
        config: Any = net.pretrained_cfg
        channels: Any = net.num_features
        example = torch.zeros(1, in_channels, *config["input_size"][1:])
        last = keep_only(net, lambda: _one_map(net, example))
        axes = [axis for axis in (1, last.dim() - 1) if last.dim() in (3, 4) and last.shape[axis] == channels]
        if not axes or (last.dim() == 3 and axes[0] == 1):
            raise ValueError(f"TimmBackbone: {type(net).__name__} ends in shape {tuple(last.shape)}: no map to pool")
        self.channel_axis = axes[0]
        self.prefix: int = getattr(net, "num_prefix_tokens", 0) if last.dim() == 3 else 0
        self.class_token = self.prefix > 0 and getattr(net, "cls_token", None) is not None
        self.pooling = pooling(channels)
        self.classifier = nn.Linear(self.pooling.out_features + channels * self.class_token, num_classes)

    def forward(self, last: Tensor) -> Tensor:
        """Classify the last map, ``(B, C, H, W)`` or ``(B, H, W, C)``, or the tokens, ``(B, prefix + N, C)``."""
        signal = last.narrow(1, self.prefix, last.shape[1] - self.prefix) if self.prefix else last
        pooled = self.pooling(signal.movedim(self.channel_axis, 1))
        return self.classifier(torch.cat([last[:, 0], pooled], 1) if self.class_token else pooled)


def _one_map(net: Any, example: Tensor) -> Tensor:
    last = net.forward_features(example)
    if not isinstance(last, Tensor):
        raise ValueError(f"TimmBackbone: {type(net).__name__} ends in several maps; a pooling takes one")
    return last

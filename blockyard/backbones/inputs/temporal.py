"""From what a 2-D network says of each frame to what is said of the clip."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Temporal = Literal["mean", "attention", "lstm", "consensus"]


class Attention(nn.Module):
    """Σ_t α_t f_t of frames ``(B, T, D)`` with α = softmax over t of w·f_t; w = 0 at first, which is the mean.

    Args:
        features: Length D of a frame's features.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.score = nn.Linear(features, 1, bias=False)
        nn.init.zeros_(self.score.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to ``(B, D)``."""
        return (self.score(x).softmax(1) * x).sum(1)


class RecurrentClassifier(nn.Module):
    """An LSTM that names the class after every frame of ``(B, T, D)``; its probabilities are averaged over them.

    Donahue et al., Long-term Recurrent Convolutional Networks, CVPR 2015.

    Args:
        features: Length D of a frame's features.
        hidden: Width of the LSTM.
        num_classes: Number of classes K.
    """

    def __init__(self, features: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, hidden, batch_first=True)
        self.classifier = nn.Linear(hidden, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, T, D)`` to the logarithms of the mean probabilities, ``(B, K)``: logits of exactly that mean."""
        steps, _ = self.lstm(x)
        log_probabilities = F.log_softmax(self.classifier(steps).float(), -1)
        return torch.logsumexp(log_probabilities, 1) - math.log(x.shape[1])

"""What stands between the pooled channels and the classifier."""

from __future__ import annotations

from torch import Tensor, nn

from blockyard.backbones.skeletons.parts import Activation, activation


class Neck(nn.Module):
    """A norm, and a hidden layer with an activation and a norm, ``(B, C)`` to ``(B, out_features)``; each if asked for.

    Args:
        channels: C.
        norm: Whether there is a norm.
        ratio: Hidden channels / C; None is no hidden layer.
        act: Its activation.
        eps: What the norms add to a variance.
    """

    def __init__(
        self, channels: int, norm: bool, ratio: float | None = None, act: Activation = "gelu", eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.out_features = channels if ratio is None else int(channels * ratio)
        self.norm1: nn.Module = nn.LayerNorm(channels, eps) if norm else nn.Identity()
        self.hidden = nn.Sequential()
        if ratio is not None:
            self.hidden = nn.Sequential(
                nn.Linear(channels, self.out_features),
                activation(act, self.out_features, 0),
                nn.LayerNorm(self.out_features, eps),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C)`` to ``(B, out_features)``."""
        return self.hidden(self.norm1(x))

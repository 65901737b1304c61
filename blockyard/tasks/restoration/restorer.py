"""A network that takes a picture's damage away."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


class Restorer(nn.Module):
    """A backbone's maps, brought together at full size, say what is to be taken off a picture.

    What the last convolution gives is the damage, not the picture (Zhang et al., Beyond a Gaussian Denoiser, TIP 2017);
    its weights begin at zero, so that training begins with the picture as it came. Pictures of any size: they are
    mirrored at the right and at the bottom as far as the largest stride asks for.

    Args:
        backbone: Gives the maps of its ``stages``.
        channels: Channels C of the pictures.
        width: Channels of the maps that are brought together.

    Raises:
        ValueError: If the backbone has no stage, or ``width`` is not positive.
    """

    def __init__(self, backbone: nn.Module, channels: int, width: int) -> None:
        super().__init__()
        stages: Any = getattr(backbone, "stages", ())
        if not stages:
            raise ValueError(f"{type(backbone).__name__} has no stages, so there are no maps to restore a picture by")
        if width < 1:
            raise ValueError(f"width={width} must be positive")
        self.backbone = backbone
        inside: Any = getattr(backbone, "stock_path", "")
        prefix = ".".join(part for part in ("backbone", inside) if part)
        self.stages = tuple(replace(stage, path=f"{prefix}.{stage.path}") for stage in stages)
        self.stride = max(stage.stride for stage in stages)
        self.picture = nn.Conv2d(channels, width, 3, padding=1)
        maps = (*getattr(backbone, "before_stages", ()), *stages)
        self.laterals = nn.ModuleList(nn.Conv2d(stage.channels, width, 1) for stage in maps)
        self.between = nn.Conv2d(width, width, 3, padding=1)
        self.damage = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(self.damage.weight)
        assert self.damage.bias is not None
        nn.init.zeros_(self.damage.bias)

    def maps(self, x: Tensor) -> list[Tensor]:
        """The backbone's maps of ``(B, C, H, W)``, ``(B, stage.channels, H / stage.stride, W / stage.stride)`` each."""
        return list(self.backbone(x))

    def forward(self, x: Tensor) -> Tensor:
        """Restore ``(B, C, H, W)``, of values from 0 to 1 but for noise; of the same shape, not clipped."""
        height, width = x.shape[2:]
        padded = mirrored(x, -height % self.stride, -width % self.stride)
        merged = self.picture(padded)
        for lateral, seen in zip(self.laterals, self.maps(padded), strict=True):
            merged = merged + F.interpolate(lateral(seen), merged.shape[2:], mode="bilinear", align_corners=False)
        damage = self.damage(F.relu(self.between(F.relu(merged))))
        return x - damage[..., :height, :width]


def mirrored(x: Tensor, down: int, right: int) -> Tensor:
    """``(B, C, H, W)`` with so many rows and columns more, mirrored; repeated where there are too few to mirror."""
    mode = "reflect" if down < x.shape[2] and right < x.shape[3] else "replicate"
    return F.pad(x, (0, right, 0, down), mode=mode) if down or right else x

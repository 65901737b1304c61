"""Two branches that learn from a picture and from what is made of it, and what makes one answer of theirs."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import TwoViewNet
from blockyard.objectives.base import Learner, Logged
from blockyard.objectives.supervision import Supervision


class TwoViews(Supervision):
    """ℓ(f₁(x)) + ℓ(f₂(a(x))) + ℓ(g(f₁(x), f₂(a(x)))): a branch for the picture, one for a turned, zoomed, shifted one.

    The first training of Isong, Building Efficient Lightweight CNN Models, arXiv 2025: each branch of
    :class:`~blockyard.backbones.TwoViewNet` learns from its own answer, as if it were alone. So that there is something
    to validate, what makes one answer g of both learns from them too; its gradient ends there, and does not reach the
    branches. In the second training, by the task's own loss, it does:

    ``--model.objective null --model.backbone.weights FILE --trainer.callbacks+=ProgressiveUnfreezing``

    ℓ is the task's own loss, smoothed and weighted as that is. Every picture of ``(B, C, H, W)`` has a turn, a factor
    for each axis and a shift of its own, drawn evenly up to the given ones. What comes from outside the picture is its
    mirror image.

    Args:
        rotation: Largest turn in either direction, as a part of a whole one.
        zoom: Largest part by which each axis becomes longer or shorter.
        shift: Largest shift along each axis, as a part of it.

    Raises:
        ValueError: If one of them is not from 0 to 1, or ``zoom`` is 1.
    """

    paper: ClassVar[str] = "Isong, Building Efficient Lightweight CNN Models, arXiv 2025"

    def __init__(self, rotation: float = 0.1, zoom: float = 0.2, shift: float = 0.2) -> None:
        super().__init__()
        if not all(0 <= one <= 1 for one in (rotation, zoom, shift)) or zoom == 1:
            raise ValueError(
                f"objective: rotation={rotation}, zoom={zoom} and shift={shift} must be from 0 to 1, zoom below 1"
            )
        self.rotation, self.zoom, self.shift = rotation, zoom, shift

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Look whether there are two branches, and pictures.

        Raises:
            ValueError: If there are not.
        """
        super().attach(task, input_shape)
        if not isinstance(task.network, TwoViewNet):
            raise ValueError(
                f"objective: TwoViews is for a TwoViewNet's branches; {type(task.network).__name__} has none"
            )
        if len(input_shape) != 3:
            raise ValueError(f"objective: TwoViews turns pictures (C, H, W); the samples are {input_shape}")

    def loss(self, task: Any, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The three losses of ``input`` ``(B, C, H, W)`` with its labels, by one forward pass."""
        x, target = task.mixed(batch)
        network: TwoViewNet = task.network
        first, second = network.views(x, self.other_view(x))
        both = torch.cat([first, second], 1).relu().detach()
        merged = task.loss_of(both, network.classify(both), target)
        alone = [task.loss_of(one, one.flatten(2).mean(2), target) for one in (first, second)]
        logged = {"first_loss": alone[0], "second_loss": alone[1], "merged_loss": merged}
        return alone[0] + alone[1] + merged, logged

    def other_view(self, x: Tensor) -> Tensor:
        """Pictures ``(B, C, H, W)``, each turned, zoomed and shifted in its own way."""
        turn, zoom_y, zoom_x, shift_y, shift_x = 2 * torch.rand(5, len(x), device=x.device) - 1
        angle = turn * self.rotation * 2 * math.pi
        height, width = x.shape[-2:]
        cos, sin = angle.cos(), angle.sin()
        scale_x, scale_y = 1 + self.zoom * zoom_x, 1 + self.zoom * zoom_y
        # where each pixel comes from, in units of half an axis: a turn in pixels is none in these unless H = W
        across = torch.stack([cos * scale_x, -sin * scale_y * height / width, 2 * self.shift * shift_x], 1)
        down = torch.stack([sin * scale_x * width / height, cos * scale_y, 2 * self.shift * shift_y], 1)
        grid = F.affine_grid(torch.stack([across, down], 1), list(x.shape), align_corners=False)
        return F.grid_sample(x, grid.to(x.dtype), padding_mode="reflection", align_corners=False)

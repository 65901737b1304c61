"""A pretext for pictures without labels: which part of them is noise."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from blockyard.backbones import DiffusionUNet
from blockyard.backbones.adapters.diffusion_unet import STEPS
from blockyard.objectives.base import Learner, Logged, Objective


class Denoising(Objective):
    """A :class:`DiffusionUNet` says which noise was put over a picture, at a level drawn for each picture.

    Ho, Jain, Abbeel: Denoising Diffusion Probabilistic Models, NeurIPS 2020, with the mean squared error of the noise.
    No label is read. In validation levels are spread evenly over a batch, and the noise is the same every time.
    """

    paper: ClassVar[str] = "Ho et al., Denoising Diffusion Probabilistic Models, NeurIPS 2020"
    slot: ClassVar[str] = "objective"
    primary_metric: ClassVar[str | None] = "explained_variance"

    def __init__(self) -> None:
        super().__init__()

    def attach(self, task: Learner, input_shape: tuple[int, ...]) -> None:
        """Let the U-Net learn, and nothing else.

        Args:
            task: Holds the network.
            input_shape: ``(C, H, W)``.

        Raises:
            ValueError: If the network is no U-Net of a diffusion model.
        """
        task.network.requires_grad_(False)
        _unet(task).net.requires_grad_(True)

    def loss(self, task: Learner, batch: dict[str, Any]) -> tuple[Tensor, Logged]:
        """The mean squared error of the noise in ``input`` ``(B, C, H, W)``, and what share of its variance is told."""
        x, network = batch["input"], _unet(task)
        if isinstance(x, list):
            raise ValueError("objective: Denoising: the pictures of a batch must have one size")
        if self.training:
            level, noise = torch.randint(1, STEPS + 1, (len(x),), device=x.device), torch.randn_like(x)
        else:
            level = torch.linspace(1, STEPS, len(x), device=x.device).long()
            noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
        wrong = F.mse_loss(network.predicted_noise(network.noisy(x, noise, level), level), noise)
        return wrong, {"explained_variance": 1 - wrong.detach() / noise.square().mean().clamp_min(1e-6)}


def _unet(task: Learner) -> DiffusionUNet:
    found = [module for module in task.network.modules() if isinstance(module, DiffusionUNet)]
    if not found:
        raise ValueError(f"objective: Denoising trains a DiffusionUNet; the network is {type(task.network).__name__}")
    return found[0]

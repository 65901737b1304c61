"""MixStyle: features in the style of another sample, in training only."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.distributions import Beta

from blockyard.blocks.base import Block


class MixStyle(Block):
    """Y = σ_mix (x − μ) / σ + μ_mix: mean and deviation of each channel mixed with those of another sample.

    μ_mix = λ μ + (1 − λ) μ', likewise σ, with λ ~ Beta(α, α) a sample and (μ', σ') of a shuffled batch; no gradient
    passes through the statistics. In evaluation it does nothing. Partners come from the batch of the process: under
    DDP no style crosses ranks. The paper puts it after the first stages, ``layer1`` and ``layer2``.

    Args:
        channels: Channels C; the block has no parameters.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        probability: How often a batch is mixed at all.
        alpha: α; the paper's person re-ID has 0.1 to 0.3.
        partner: ``random`` shuffles the batch; ``crossdomain`` pairs its first half with its second, which are taken
            to be of two domains.

    Raises:
        ValueError: If ``probability`` is not in [0, 1] or ``alpha`` is not positive.
    """

    identity_at_init = False
    paper: ClassVar[str] = "Zhou et al., MixStyle Neural Networks for Domain Generalization and Adaptation, IJCV 2024"

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        probability: float = 0.5,
        alpha: float = 0.1,
        partner: Literal["random", "crossdomain"] = "random",
    ) -> None:
        super().__init__(channels, spatial_dims)
        if not 0 <= probability <= 1:
            raise ValueError(f"MixStyle: probability must be from 0 to 1, got {probability}")
        if alpha <= 0:
            raise ValueError(f"MixStyle: alpha must be positive, got {alpha}")
        self.probability = probability
        self.alpha = alpha
        self.partner = partner

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape; a copy in evaluation."""
        if not self.training or self.probability == 0:
            return x.clone()
        share = Beta(self.alpha, self.alpha, validate_args=False).sample((len(x), 1, 1)).to(x.device)
        mixed = mix_style(x.flatten(2), share, self._partners(len(x), x.device)).reshape(x.shape)
        # one coin a batch; where instead of a branch, so that the block compiles to one graph
        return torch.where(torch.rand((), device=x.device) < self.probability, mixed, x)

    def _partners(self, batch: int, device: torch.device) -> Tensor:
        """Whose style each sample gets, ``(B,)``."""
        if self.partner == "random":
            return torch.randperm(batch, device=device)
        half = batch // 2
        first = torch.randperm(batch - half, device=device) + half
        second = torch.randperm(half, device=device)
        middle = torch.arange(half, batch - half, device=device)  # of an odd batch one sample has no partner
        return torch.cat([first[:half], middle, second])


def mix_style(x: Tensor, share: Tensor, partners: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Give signals mixed means and deviations.

    Args:
        x: ``(B, C, N)``.
        share: λ, how much of its own style a sample keeps, ``(B, 1, 1)``.
        partners: Whose style it gets for the rest, ``(B,)``.
        epsilon: Added to the variance.

    Returns:
        ``(B, C, N)``.
    """
    # A variance adds squares, which leave float16's range; of styles no gradient is asked, as in the paper.
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    mean = wide.detach().mean(2, keepdim=True)
    deviation = (wide.detach().var(2, keepdim=True, correction=0) + epsilon).sqrt()
    share = share.to(wide.dtype)
    mixed_mean = share * mean + (1 - share) * mean[partners]
    mixed_deviation = share * deviation + (1 - share) * deviation[partners]
    return (mixed_deviation * (wide - mean) / deviation + mixed_mean).to(x.dtype)

"""The cross entropy that listens more to samples whose features vary more."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional as F


class BiasLoss(nn.Module):
    """Cross entropy in which sample i has the weight exp(α vᵢ) - β.

    vᵢ is the variance of its features ``(C, *S)``, scaled to 0…1 between the least and the greatest of its batch:
    samples whose map is poor in features mislead a small network less. No gradient passes through v, so weights lie
    between 1 - β and exp(α) - β. Where all variances are equal, as in a batch of one, v is zero. Abrahamyan et al.,
    Bias Loss for Mobile Neural Networks, ICCV 2021.

    In training on several processes the least and the greatest are those of the global batch, so that the loss does not
    depend on how samples fall on processes. Running extremes, the other choice of the released code, leave weights
    unbounded and are not offered.

    Args:
        alpha: α, how strongly the variance counts; 0 with β = 0 is the cross entropy.
        beta: β, what is taken from all weights.
        label_smoothing: Mass of the target that is spread over all classes.

    Raises:
        ValueError: If α is negative, or β not between 0 and 1.
    """

    paper: ClassVar[str] = "Abrahamyan et al., Bias Loss for Mobile Neural Networks, ICCV 2021"
    slot: ClassVar[str] = "loss"

    def __init__(self, alpha: float = 0.3, beta: float = 0.3, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if alpha < 0 or not 0 <= beta <= 1:
            raise ValueError(f"BiasLoss: alpha must be at least 0 and beta in 0…1, got alpha={alpha}, beta={beta}")
        self.alpha = alpha
        self.beta = beta
        self.label_smoothing = label_smoothing

    def forward(self, logits: Tensor, target: Tensor, features: Tensor) -> Tensor:
        """Mean loss of a batch.

        Args:
            logits: ``(B, K)``.
            target: Classes ``(B,)``, or shares of the classes ``(B, K)``, as of mixed samples.
            features: The last map before it is pooled, ``(B, C, *S)``, or tokens ``(B, N, C)``.
        """
        losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=self.label_smoothing)
        return (self.weights(features) * losses).mean()

    def weights(self, features: Tensor) -> Tensor:
        """Weights ``(B,)`` of samples with features ``(B, …)``, in at least float32 and without gradient."""
        features = features.detach().flatten(1)
        # Unbiased or not, the variances scale alike.
        variance = features.to(torch.promote_types(features.dtype, torch.float32)).var(1, correction=0)
        least, greatest = self._extremes(variance)
        tiny = torch.finfo(variance.dtype).tiny  # 0 / tiny is 0 where all are equal
        scaled = (variance - least) / (greatest - least).clamp(min=tiny)
        return (self.alpha * scaled).exp() - self.beta

    def _extremes(self, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Least and greatest variance of the batch; in training, of all processes' batches."""
        both = torch.stack([-variance, variance])
        bounds = both.amax(1) if len(variance) else both.new_full((2,), -torch.inf)
        # Evaluation may leave a process without a sample, which then would be waited for.
        if self.training and distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(bounds, distributed.ReduceOp.MAX)
        return -bounds[0], bounds[1]

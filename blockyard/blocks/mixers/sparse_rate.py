"""The two steps that a unit of CRATE takes: towards subspaces, then towards a sparse code.

Yu et al., White-Box Transformers via Sparse Rate Reduction, NeurIPS 2023; JMLR 2024.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from blockyard.blocks.base import Block, Slot, divide
from blockyard.blocks.half_precision import ranged, roomy
from blockyard.blocks.mixers.self_attention import attend, shortened

PAPER = "Yu et al., White-Box Transformers via Sparse Rate Reduction, NeurIPS 2023"


class SubspaceSelfAttention(Block):
    """Y = W [softmax(z zᵀ / √d) z]_heads, z = U x: self-attention whose queries, keys and values are one (MSSA).

    Each head's d rows of U span one subspace; what lies in it moves together.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        head_width: d; C / d is the number of heads.

    Raises:
        ValueError: If ``head_width`` does not divide ``channels``.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = PAPER

    def __init__(self, channels: int, spatial_dims: int = 2, *, head_width: int = 32) -> None:
        super().__init__(channels, spatial_dims)
        self.heads = divide(channels, min(head_width, channels), "SubspaceSelfAttention", "head_width")
        self.subspaces = nn.Linear(channels, channels, bias=False)
        self.project = nn.Linear(channels, channels)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        tokens = x.flatten(2).transpose(1, 2)
        parts = self.subspaces(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        mixed = attend(shortened(parts, parts), parts, parts).transpose(1, 2).flatten(2)
        return self.project(mixed).transpose(1, 2).unflatten(2, x.shape[2:])


class ISTA(Block):
    """Y = relu(x + η Dᵀ(x − D x) − η λ): a step towards the non-negative sparse code y of x = D y, begun at x itself.

    It is one of the iterative shrinkage–thresholding algorithm (proximal gradient descent) on ½‖x − D y‖² + λ‖y‖₁,
    y ≥ 0. It needs no residual: it begins at x.

    Args:
        channels: Channels C; D is C × C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        step: η.
        threshold: λ.

    Raises:
        ValueError: If ``step`` is not positive or ``threshold`` negative.
    """

    identity_at_init = False
    slot: ClassVar[Slot] = "mixer"
    paper: ClassVar[str] = PAPER

    def __init__(self, channels: int, spatial_dims: int = 2, *, step: float = 0.1, threshold: float = 0.1) -> None:
        super().__init__(channels, spatial_dims)
        if step <= 0 or threshold < 0:
            raise ValueError(f"ISTA: step must be positive and threshold not negative, got {step} and {threshold}")
        self.step, self.threshold = step, threshold
        self.dictionary = nn.Parameter(torch.empty(channels, channels))
        nn.init.kaiming_uniform_(self.dictionary)

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape."""
        codes, terms = x.movedim(1, -1).to(roomy(x)), self.channels
        left = codes - ranged(lambda codes: linear(codes, self.dictionary), codes, terms=terms)
        back = ranged(lambda left: linear(left, self.dictionary.t()), left, terms=terms)
        # unlike a ReLU, a clamp does not need its result for the gradient: it may be modified in place
        return (codes + self.step * (back - self.threshold)).clamp_min(0).movedim(-1, 1)

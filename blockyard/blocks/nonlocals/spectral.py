"""Spectral nonlocal block (SNL) and its generalisation of order K (gSNL)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from blockyard.blocks.base import divide
from blockyard.blocks.half_precision import computes_in_float16
from blockyard.blocks.nonlocals.affinities import Projection, SymmetricAffinity, SymmetricKernel
from blockyard.blocks.nonlocals.filters import Basis, GraphFilterBlock, PolynomialFilter
from blockyard.blocks.nonlocals.operators import Evaluation
from blockyard.blocks.nonlocals.spectral_filter import spectral_filter


class SpectralNonlocal(GraphFilterBlock):
    """Y = X + BN(Σ_k T_k(A) Z Θ_k), k = 0 … K, A the symmetric, degree-normalised affinity.

    Order 1 is SNL, Y = X + BN(Z Θ_0 + A Z Θ_1); a higher order is gSNL. With the default kernel the block costs
    O(N c²), never O(N²), and its memory is linear in N.

    Args:
        channels: Channels C.
        spatial_dims: Rank of S in ``(B, C, *S)``.
        reduction: C / c, c the channels of both embeddings and of the signal Z.
        order: K ≥ 1.
        basis: ``chebyshev`` or ``power``: the same functions, differently conditioned.
        kernel: ``dot`` (relu(t_i)·relu(p_j), the published one), ``exp``, ``relu`` or ``sigmoid`` of the score.
        steps: Filters in a row that share one affinity, each with its own value, coefficients and norm.
        evaluation: How A is applied, see :data:`blockyard.blocks.nonlocals.operators.Evaluation`.

    Raises:
        ValueError: If ``reduction`` does not divide ``channels``, or ``order`` or ``steps`` is less than 1.
    """

    paper: ClassVar[str] = "Zhu et al., Unifying Nonlocal Blocks for Neural Networks, ICCV 2021"
    affinity: SymmetricAffinity

    def __init__(
        self,
        channels: int,
        spatial_dims: int = 2,
        *,
        order: int = 1,
        reduction: int = 2,
        basis: Basis = "chebyshev",
        kernel: SymmetricKernel = "dot",
        steps: int = 1,
        evaluation: Evaluation = "auto",
    ) -> None:
        super().__init__(channels, spatial_dims, steps)
        if order < 1:
            raise ValueError(f"SpectralNonlocal: order must be at least 1, got {order}")
        inner = divide(channels, reduction, "SpectralNonlocal")
        self.affinity = SymmetricAffinity(
            channels, inner, spatial_dims=spatial_dims, kernel=kernel, products=order * steps, evaluation=evaluation
        )
        self.filters = nn.ModuleList(
            PolynomialFilter(channels, Projection(channels, inner, spatial_dims), inner, order=order, basis=basis)
            for _ in range(steps)
        )

    def transform(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to the same shape; what one function can do in training keeps less for the backward."""
        only = self.filters[0]
        assert isinstance(only, PolynomialFilter)
        layers = [self.affinity.theta.conv, self.affinity.phi.conv, only.value.conv, only.out]
        if len(self.filters) > 1 or only.order > 1 or not self._is_one_function(x, layers):
            return super().transform(x)
        *projections, coefficients = (layer.weight[:, :, 0] for layer in layers if isinstance(layer, nn.Conv1d))
        mixed = spectral_filter(x.flatten(2), torch.cat(projections), coefficients)
        return x + only.norm(mixed).to(x.dtype).reshape(x.shape)

    def _is_one_function(self, x: Tensor, layers: Sequence[nn.Module]) -> bool:
        if self.affinity.kernel != "dot" or self.affinity.evaluation != "auto" or not torch.is_grad_enabled():
            return False
        if any(type(layer) is not nn.Conv1d for layer in layers):  # replaced, wrapped or with a parametrisation
            return False
        if torch.compiler.is_exporting() or computes_in_float16(x) or isinstance(x.numel(), torch.SymInt):
            return False
        # Projecting again and folding the coefficients costs a tenth of the time at so many positions, and ever less.
        return x.shape[2:].numel() >= 2 * self.affinity.crossover

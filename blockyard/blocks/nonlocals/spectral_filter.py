"""The spectral filter of order 1 as one function of a map, whose backward pass computes the projections again."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from blockyard.blocks.nonlocals.kernel_operators import SymmetricProduct, connected_rsqrt, spectral_normalisation
from blockyard.blocks.nonlocals.operators import at_least_float32


def spectral_filter(x: Tensor, projections: Tensor, coefficients: Tensor) -> Tensor:
    """Z Θ_0 + A Z Θ_1, A = D^-1/2 S D^-1/2 of S = (M + Mᵀ) / 2, M_ij = relu(t_i)·relu(p_j), keeping x alone.

    With U = [T; P] D^-1/2 the result is one product [Θ_1 Q | Θ_0] [U; Z], where Q = Z Uᵀ / 2 with its halves exchanged
    has c × 2c entries: the backward pass needs x, Q and the degrees, and one more product for T, P and Z.

    Args:
        x: Map, ``(B, C, N)``, in float32, float64 or bfloat16; under autocast its precision is taken.
        projections: Weights of T, P and Z, ``(3c, C)``.
        coefficients: [Θ_0 | Θ_1] as a convolution has them, ``(C, 2c)``.

    Returns:
        ``(B, C, N)``.
    """
    kind = x.device.type
    if torch.is_autocast_enabled(kind) and x.dtype != torch.float64:  # which autocast leaves alone
        dtype = torch.get_autocast_dtype(kind)
        x, projections, coefficients = (tensor.to(dtype) for tensor in (x, projections, coefficients))
    with torch.autocast(kind, enabled=False):
        filtered: Tensor = _SpectralFilter.apply(x, projections, coefficients)[0]
    return filtered


def _plainly(x: Tensor, projections: Tensor, coefficients: Tensor) -> Tensor:
    """The same ``(B, C, N)`` by operators, which can be differentiated as often as one likes."""
    t, p, z = torch.bmm(_each(projections, x), x).chunk(3, 1)
    operator = spectral_normalisation(SymmetricProduct(t.relu(), p.relu()))
    return torch.bmm(_each(coefficients, x), torch.cat([z, operator.apply(z)], 1))


class _SpectralFilter(torch.autograd.Function):
    """Gives besides the filtered map what the backward pass needs: Q, half the exchanged sums of T and P, D^-1/2."""

    @staticmethod
    def forward(x: Tensor, projections: Tensor, coefficients: Tensor) -> tuple[Tensor, ...]:
        """From ``(B, C, N)``: the same shape, Q ``(B, c, 2c)``, sums ``(B, 2c, 1)`` and scale ``(B, 1, N)``."""
        if _by_kernels(x, len(projections) // 3):
            from blockyard.blocks.nonlocals.spectral_triton import spectral_forward  # there is no Triton without a GPU

            return spectral_forward(x, projections, coefficients)
        signals = torch.bmm(_each(projections, x), x)
        c = len(projections) // 3
        factors, z = signals[:, : 2 * c], signals[:, 2 * c :]
        sums = _exchanged(at_least_float32(factors.relu_()).sum(2, keepdim=True), 1)
        scale = connected_rsqrt((at_least_float32(factors) * sums).sum(1, keepdim=True))
        factors.mul_(scale)
        q = _exchanged(torch.bmm(z, factors.transpose(1, 2)), 2)
        return torch.bmm(_folded(q, coefficients), signals), q, sums, scale

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
        ctx.mark_non_differentiable(*output[1:])
        ctx.save_for_backward(*inputs, *output[1:])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        """From ``(B, C, N)`` the gradients of the map, of the projections and of the coefficients."""
        x, projections, coefficients, q, sums, scale = ctx.saved_tensors
        if torch.is_grad_enabled() and not torch.compiler.is_compiling():  # derivatives of derivatives
            inputs, result = (x, projections, coefficients), _plainly(x, projections, coefficients)
            learning = [tensor for tensor in inputs if tensor.requires_grad]
            found = iter(torch.autograd.grad(result, learning, gradient, create_graph=True))
            return tuple(next(found) if tensor.requires_grad else None for tensor in inputs)
        signals = torch.bmm(_each(projections, x), x)
        c = len(projections) // 3
        factors, z = signals[:, : 2 * c], signals[:, 2 * c :]
        factors.relu_().mul_(scale)
        to_folded = torch.bmm(gradient, signals.transpose(1, 2))
        to_factors, to_z = to_folded[:, :, : 2 * c], to_folded[:, :, 2 * c :]
        to_theta = torch.cat([to_z.sum(0), torch.bmm(to_factors, q.transpose(1, 2)).sum(0)], 1)
        to_q = _exchanged(torch.bmm(_each(coefficients[:, c:].t(), x), to_factors), 2)
        to_signals = torch.bmm(_folded(q, coefficients).transpose(1, 2), gradient)
        to_signals[:, 2 * c :].baddbmm_(to_q, factors)
        scaled = to_signals[:, : 2 * c].baddbmm_(to_q.transpose(1, 2), z)
        _through_degrees(scaled, factors, sums, scale)
        to_x, to_projections = None, None
        if ctx.needs_input_grad[0]:
            to_x = torch.bmm(_each(projections.t(), x), to_signals)
        if ctx.needs_input_grad[1]:
            to_projections = torch.bmm(to_signals, x.transpose(1, 2)).sum(0)
        return to_x, to_projections, to_theta


def _by_kernels(x: Tensor, c: int) -> bool:
    """Whether Triton's kernels are asked for, and are for such a map: wider ones overflow a program's registers."""
    wanted = os.environ.get("BLOCKYARD_TRITON") == "1" and not torch.compiler.is_compiling()
    return wanted and x.is_cuda and c <= 512 and x.dtype in {torch.float32, torch.bfloat16}


def _through_degrees(gradient: Tensor, factors: Tensor, sums: Tensor, scale: Tensor) -> None:
    """Turn, in place, the gradient of U = relu(H) D^-1/2 into that of H, ``(B, 2c, N)``.

    d_i = Σ_k u_ki σ_k has a derivative by its own vertex's u, σ_k, and one by every vertex's, through the sums.
    """
    slope = at_least_float32(gradient * factors).sum(1, keepdim=True) * scale * -0.5
    to_sums = _exchanged(torch.bmm(factors, slope.transpose(1, 2).to(factors.dtype)), 1)
    gradient.mul_(scale).addcmul_(sums.to(gradient.dtype), (slope * scale).to(gradient.dtype)).add_(to_sums)
    gradient.mul_(factors > 0)


def _folded(q: Tensor, coefficients: Tensor) -> Tensor:
    """[Θ_1 Q | Θ_0], ``(B, C, 3c)``."""
    c = q.shape[1]
    last = _each(coefficients, q)
    return torch.cat([torch.bmm(last[:, :, c:], q), last[:, :, :c]], 2)


def _exchanged(tensor: Tensor, dim: int) -> Tensor:
    """What belongs to T and to P, ``(B, 2c, …)`` or ``(B, …, 2c)``, exchanged, and halved, as S is half of a sum."""
    first, second = tensor.chunk(2, dim)
    return torch.cat([second, first], dim) * 0.5


def _each(matrix: Tensor, x: Tensor) -> Tensor:
    """The same matrix ``(m, n)`` for every sample of x, ``(B, m, n)``, without a copy."""
    return matrix.expand(len(x), -1, -1)

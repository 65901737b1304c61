"""The forward pass of the spectral filter in three Triton kernels, for GPUs.

Between projections and result the composed form passes over the factors eight times, to cut them off at zero, sum and
normalise them. Here the projection cuts off and sums what it has in registers, the degrees are made where the factors
are read for the product Q, and the scale of a position is applied to its column of the result: in all the map is read
once, T, P and Z are written once and read twice, the result is written once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

POSITIONS, ROWS, DEPTH = 64, 64, 32
ISOLATED = torch.finfo(torch.float32).tiny ** (2 / 3)
"""At most this degree a vertex counts as isolated, as in ``connected_rsqrt``."""


def spectral_forward(x: Tensor, projections: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Z Θ_0 + A Z Θ_1 as :func:`blockyard.blocks.nonlocals.spectral_filter.spectral_filter` has it.

    Args:
        x: Map, ``(B, C, N)``, in float32 or bfloat16, of any strides.
        projections: Weights of T, P and Z, ``(3c, C)``, in the same precision.
        coefficients: [Θ_0 | Θ_1], ``(C, 2c)``.

    Returns:
        The result ``(B, C, N)``, Q ``(B, c, 2c)``, half the exchanged sums of T and P ``(B, 2c, 1)`` in float32, and
        D^-1/2 ``(B, 1, N)`` in float32.
    """
    with torch.cuda.device_of(x):
        return _launch(x, projections.contiguous(), coefficients.contiguous())


def _launch(x: Tensor, projections: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    batch, channels, n = x.shape
    c = len(projections) // 3
    exact = "ieee" if torch.get_float32_matmul_precision() == "highest" else "tf32"
    tiles = triton.cdiv(n, POSITIONS)
    signals = x.new_empty(batch, 3 * c, n)
    parts = x.new_empty(batch, tiles, 2 * c, dtype=torch.float32)
    _project[batch, tiles, triton.cdiv(3 * c, ROWS)](
        x, projections, signals, parts, channels, n, c, *x.stride(), POSITIONS, ROWS, DEPTH, exact
    )
    first, second = parts.sum(1).mul_(0.5).chunk(2, 1)
    sums = torch.cat([second, first], 1)
    width = max(16, triton.next_power_of_2(2 * c))
    rows = max(16, min(64, 16384 // width))
    splits = min(triton.cdiv(n, 32), max(1, 256 // batch))
    products = x.new_empty(batch, splits, c, 2 * c, dtype=torch.float32)
    scale = x.new_empty(batch, 1, n, dtype=torch.float32)
    _normalise[batch, splits, triton.cdiv(c, rows)](
        signals, sums, products, scale, n, c, splits, ISOLATED, width, rows, 32, exact, num_warps=8
    )
    first, second = products.sum(1).mul_(0.5).to(x.dtype).chunk(2, 2)
    q = torch.cat([second, first], 2)
    folded = torch.matmul(coefficients[:, c:], q)
    filtered = x.new_empty(batch, channels, n)
    _apply[batch, tiles, triton.cdiv(channels, ROWS)](
        signals, folded, coefficients, scale, filtered, channels, n, c, POSITIONS, ROWS, DEPTH, exact
    )
    return filtered, q, sums.unsqueeze(2), scale


@triton.jit
def _product(
    total, left, row, rows, columns, pitch, right, at, n, down, along,
    DEPTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Add left ``(rows, columns)`` times right ``(columns, n)`` to a total, at some rows and some positions."""
    for start in range(0, columns, DEPTH):
        k = start + tl.arange(0, DEPTH)
        of_left = (row[:, None] < rows) & (k[None, :] < columns)
        of_right = (k[:, None] < columns) & (at[None, :] < n)
        w = tl.load(left + row[:, None] * pitch + k[None, :], mask=of_left, other=0.0)
        v = tl.load(right + k[:, None] * down + at[None, :] * along, mask=of_right, other=0.0)
        total = tl.dot(w, v, total, input_precision=EXACT)
    return total


@triton.jit
def _project(
    x, weights, signals, parts, channels, n, c, xb, xc, xn,
    POSITIONS: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Make rows of [relu T; relu P; Z] at some positions, and what these add to the sums of T and P."""
    sample, tile = tl.program_id(0).to(tl.int64), tl.program_id(1)
    at = tile * POSITIONS + tl.arange(0, POSITIONS)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    total = tl.zeros((ROWS, POSITIONS), tl.float32)
    total = _product(total, weights, row, 3 * c, channels, channels, x + sample * xb, at, n, xc, xn, DEPTH, EXACT)
    total = tl.where(row[:, None] < 2 * c, tl.maximum(total, 0.0), total)
    rounded = total.to(signals.dtype.element_ty)
    inside = (row[:, None] < 3 * c) & (at[None, :] < n)
    tl.store(signals + (sample * 3 * c + row[:, None]) * n + at[None, :], rounded, mask=inside)
    added = tl.sum(rounded.to(tl.float32), 1)
    tl.store(parts + (sample * tl.num_programs(1) + tile) * 2 * c + row, added, mask=row < 2 * c)


@triton.jit
def _normalise(
    signals, sums, products, scale, n, c, splits, isolated,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, POSITIONS: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Make some rows of Z Uᵀ over every so-manieth tile of positions, U = [T; P] D^-1/2, and D^-1/2 itself."""
    sample, split, block = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    column = tl.arange(0, WIDTH)
    row = block * ROWS + tl.arange(0, ROWS)
    sigma = tl.load(sums + sample * 2 * c + column, mask=column < 2 * c, other=0.0)
    base = signals + sample.to(tl.int64) * 3 * c * n
    total = tl.zeros((ROWS, WIDTH), tl.float32)
    for tile in range(split, tl.cdiv(n, POSITIONS), splits):
        at = tile * POSITIONS + tl.arange(0, POSITIONS)
        here = (column[:, None] < 2 * c) & (at[None, :] < n)
        factors = tl.load(base + column[:, None] * n + at[None, :], mask=here, other=0.0)
        degree = tl.sum(factors.to(tl.float32) * sigma[:, None], 0)
        root = tl.where(degree > isolated, 1.0 / tl.sqrt(tl.where(degree > isolated, degree, 1.0)), 0.0)
        if block == 0:
            tl.store(scale + sample * n + at, root, mask=at < n)
        of_z = (row[:, None] < c) & (at[None, :] < n)
        z = tl.load(base + (2 * c + row[:, None]) * n + at[None, :], mask=of_z, other=0.0)
        scaled = (factors.to(tl.float32) * root[None, :]).to(factors.dtype)
        total = tl.dot(z, tl.trans(scaled), total, input_precision=EXACT)
    entry = ((sample * splits + split) * c + row[:, None]) * 2 * c + column[None, :]
    tl.store(products + entry, total, mask=(row[:, None] < c) & (column[None, :] < 2 * c))


@triton.jit
def _apply(
    signals, folded, coefficients, scale, filtered, channels, n, c,
    POSITIONS: tl.constexpr, ROWS: tl.constexpr, DEPTH: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    """Make rows of (Θ_1 Q [T; P]) D^-1/2 + Θ_0 Z at some positions."""
    sample = tl.program_id(0).to(tl.int64)
    row = tl.program_id(2) * ROWS + tl.arange(0, ROWS)
    at = tl.program_id(1) * POSITIONS + tl.arange(0, POSITIONS)
    factors = signals + sample * 3 * c * n
    total = tl.zeros((ROWS, POSITIONS), tl.float32)
    left = folded + sample * channels * 2 * c
    total = _product(total, left, row, channels, 2 * c, 2 * c, factors, at, n, n, 1, DEPTH, EXACT)
    total *= tl.load(scale + sample * n + at, mask=at < n, other=0.0)[None, :]
    z = factors + 2 * c * n
    total = _product(total, coefficients, row, channels, c, 2 * c, z, at, n, n, 1, DEPTH, EXACT)
    inside = (row[:, None] < channels) & (at[None, :] < n)
    place = (sample * channels + row[:, None]) * n + at[None, :]
    tl.store(filtered + place, total.to(filtered.dtype.element_ty), mask=inside)
